BEGIN TRANSACTION;
CREATE TABLE vecferry_approvals (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), number INTEGER NOT NULL,
                epoch BIGINT NOT NULL, verdict TEXT NOT NULL, form TEXT NOT NULL, asked_at TEXT NOT NULL,
                answer TEXT, answered_by TEXT, note TEXT, answered_at TEXT, used_at TEXT,
                PRIMARY KEY (migration, number));
INSERT INTO "vecferry_approvals" VALUES('docs-20261121-7f3a',1,1,'39bedb6603f9b443345dfbede0ba75ca8c2b63249fae0cce56a842deff36c54f','{"lines":["docs moves"]}','2026-11-21T03:00:01.000000+00:00','approved','ann','','2026-11-21T03:00:01.000000+00:00','2026-11-21T03:00:01.000000+00:00');
CREATE TABLE vecferry_audit (
                number BIGINT PRIMARY KEY, at TEXT NOT NULL, actor TEXT NOT NULL, migration TEXT,
                event TEXT NOT NULL, detail TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL);
INSERT INTO "vecferry_audit" VALUES(1,'2026-11-21T03:00:00.000000+00:00','ann@host pid 7','docs-20261121-7f3a','migration created','{"limit":null,"source":"numpy:///data/docs","target":"qdrant+edge:///data/new/docs"}','','bad74807728318746632b4750298bab01e69825b100b7252725c1fa5bc5cb11a');
INSERT INTO "vecferry_audit" VALUES(2,'2026-11-21T03:00:00.000000+00:00','ann@host pid 7','docs-20261121-7f3a','lease taken','{"displaced":[],"holder":"vecferry migrate (ann@host pid 7)","resources":["migration:docs-20261121-7f3a","target:qdrant+edge:///data/new/docs"],"token":1}','bad74807728318746632b4750298bab01e69825b100b7252725c1fa5bc5cb11a','cdd690159a829bc56673fbb64f54c379c39e005541c447b6a57fb73dd4bbe29f');
INSERT INTO "vecferry_audit" VALUES(3,'2026-11-21T03:00:00.000000+00:00','ann@host pid 7','docs-20261121-7f3a','plan stored','{"slices":2}','cdd690159a829bc56673fbb64f54c379c39e005541c447b6a57fb73dd4bbe29f','6d5f90a4a08e0576e5f42519ad01b35a13547748021b6c43c792e41fc7d7b4fc');
INSERT INTO "vecferry_audit" VALUES(4,'2026-11-21T03:00:01.000000+00:00','ann@host pid 7','docs-20261121-7f3a','slice copied','{"digest":"5-0a","id_max":"e","id_min":"a","number":0,"path":"parts/00000.parquet","rows":5,"sha256":"abababababababababababababababababababababababababababababababab","size_bytes":4096}','6d5f90a4a08e0576e5f42519ad01b35a13547748021b6c43c792e41fc7d7b4fc','c61fc450d6e5fa4a588153b90deea41477f13e62e48379e68edc6174ad0dd063');
INSERT INTO "vecferry_audit" VALUES(5,'2026-11-21T03:00:01.000000+00:00','ann@host pid 7','docs-20261121-7f3a','slice loaded','{"number":0}','c61fc450d6e5fa4a588153b90deea41477f13e62e48379e68edc6174ad0dd063','eea312c018256d50f3808dd693411c46cce3d7d91a2f7d452e342e96a9b87c64');
INSERT INTO "vecferry_audit" VALUES(6,'2026-11-21T03:00:01.000000+00:00','ann@host pid 7','docs-20261121-7f3a','slice verified','{"number":0,"result":{"differences":0}}','eea312c018256d50f3808dd693411c46cce3d7d91a2f7d452e342e96a9b87c64','bea453fc8ac3c5c09ccea0ce90c752606b7b8cfd6e765958e2e7c48d4641490f');
INSERT INTO "vecferry_audit" VALUES(7,'2026-11-21T03:00:01.000000+00:00','ann@host pid 7','docs-20261121-7f3a','fact set','{"key":"verdict","value":{"state":"same"}}','bea453fc8ac3c5c09ccea0ce90c752606b7b8cfd6e765958e2e7c48d4641490f','30e6c94d3beb6c3a54b34efbfe30f2dec3bafb1de4565c52d6ab511397225e41');
INSERT INTO "vecferry_audit" VALUES(8,'2026-11-21T03:00:01.000000+00:00','ann@host pid 7','docs-20261121-7f3a','route registered','{"epoch":1,"route":"docs","url":"numpy:///data/docs"}','30e6c94d3beb6c3a54b34efbfe30f2dec3bafb1de4565c52d6ab511397225e41','fb9953d98280d96896aa010a6da19f6bdaf135219937cc2f897c30cb2d7230a0');
INSERT INTO "vecferry_audit" VALUES(9,'2026-11-21T03:00:01.000000+00:00','ann@host pid 7','docs-20261121-7f3a','approval asked','{"epoch":1,"form":{"lines":["docs moves"]},"number":1,"verdict":"39bedb6603f9b443345dfbede0ba75ca8c2b63249fae0cce56a842deff36c54f"}','fb9953d98280d96896aa010a6da19f6bdaf135219937cc2f897c30cb2d7230a0','b3997cfe4ed422dab75440ae0cf7c4a59ed00decb052f764b3203d0c07868ce5');
INSERT INTO "vecferry_audit" VALUES(10,'2026-11-21T03:00:01.000000+00:00','ann@host pid 7','docs-20261121-7f3a','approval approved','{"answer":"approved","answered_by":"ann","note":"","number":1}','b3997cfe4ed422dab75440ae0cf7c4a59ed00decb052f764b3203d0c07868ce5','a0b5c1f4bd824834c2392e760df4906b3886ac8504f8813ca35625b8c6a5d9f5');
INSERT INTO "vecferry_audit" VALUES(11,'2026-11-21T03:00:01.000000+00:00','ann@host pid 7','docs-20261121-7f3a','verified','{"from":"PLANNED","to":"READY"}','a0b5c1f4bd824834c2392e760df4906b3886ac8504f8813ca35625b8c6a5d9f5','6f1be902d02ea0b79c90ab43145708790155584d90ccd8388e1120ebca30675c');
INSERT INTO "vecferry_audit" VALUES(12,'2026-11-21T03:00:01.000000+00:00','ann@host pid 7','docs-20261121-7f3a','approval used','{"epoch":1,"number":1,"verdict":"39bedb6603f9b443345dfbede0ba75ca8c2b63249fae0cce56a842deff36c54f"}','6f1be902d02ea0b79c90ab43145708790155584d90ccd8388e1120ebca30675c','6e3e500fc1090929ac601c03a8647e0c936bc1a922afbdbc068a85410687d26c');
INSERT INTO "vecferry_audit" VALUES(13,'2026-11-21T03:00:01.000000+00:00','ann@host pid 7','docs-20261121-7f3a','switched','{"alias":null,"epoch":2,"previous_url":"numpy:///data/docs","route":"docs","to":"SWITCHED","url":"qdrant+edge:///data/new/docs"}','6e3e500fc1090929ac601c03a8647e0c936bc1a922afbdbc068a85410687d26c','1c637a1bd19a3f55f3c96c98bcb90361e042b716a4075750919fe05da24220ce');
CREATE TABLE vecferry_audit_head (number BIGINT NOT NULL, hash TEXT NOT NULL);
INSERT INTO "vecferry_audit_head" VALUES(13,'1c637a1bd19a3f55f3c96c98bcb90361e042b716a4075750919fe05da24220ce');
CREATE TABLE vecferry_counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
INSERT INTO "vecferry_counters" VALUES('lease token',1);
CREATE TABLE vecferry_facts (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), name TEXT NOT NULL,
                value TEXT NOT NULL, set_at TEXT NOT NULL,
                PRIMARY KEY (migration, name));
INSERT INTO "vecferry_facts" VALUES('docs-20261121-7f3a','verdict','{"state":"same"}','2026-11-21T03:00:01.000000+00:00');
CREATE TABLE vecferry_leases (
                resource TEXT PRIMARY KEY, token BIGINT NOT NULL, holder TEXT NOT NULL,
                acquired_at TEXT NOT NULL, expires_at TEXT NOT NULL);
INSERT INTO "vecferry_leases" VALUES('migration:docs-20261121-7f3a',1,'{"boot_id":"boot","host":"host","pid":7,"pid_namespace":"pid:[1]","purpose":"vecferry migrate","started_ticks":7,"user":"ann"}','2026-11-21T03:00:00.000000+00:00','2026-11-21T03:01:00.000000+00:00');
INSERT INTO "vecferry_leases" VALUES('target:qdrant+edge:///data/new/docs',1,'{"boot_id":"boot","host":"host","pid":7,"pid_namespace":"pid:[1]","purpose":"vecferry migrate","started_ticks":7,"user":"ann"}','2026-11-21T03:00:00.000000+00:00','2026-11-21T03:01:00.000000+00:00');
CREATE TABLE vecferry_migrations (
                id TEXT PRIMARY KEY, name TEXT NOT NULL, strategy TEXT NOT NULL,
                source_url TEXT NOT NULL, target_url TEXT NOT NULL, route TEXT NOT NULL,
                archive TEXT NOT NULL, config TEXT NOT NULL, row_limit BIGINT,
                state TEXT NOT NULL, created_at TEXT NOT NULL, changed_at TEXT NOT NULL,
                plan TEXT, planned_at TEXT);
INSERT INTO "vecferry_migrations" VALUES('docs-20261121-7f3a','docs','blue-green','numpy:///data/docs','qdrant+edge:///data/new/docs','docs','/data/archive','{"batch_rows":1000}',NULL,'SWITCHED','2026-11-21T03:00:00.000000+00:00','2026-11-21T03:00:01.000000+00:00','{"rows":10}','2026-11-21T03:00:00.000000+00:00');
CREATE TABLE vecferry_routes (
                name TEXT PRIMARY KEY, url TEXT NOT NULL, epoch BIGINT NOT NULL, previous_url TEXT,
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), changed_at TEXT NOT NULL,
                alias TEXT, alias_confirmed_at TEXT);
INSERT INTO "vecferry_routes" VALUES('docs','qdrant+edge:///data/new/docs',2,'numpy:///data/docs','docs-20261121-7f3a','2026-11-21T03:00:01.000000+00:00',NULL,NULL);
CREATE TABLE vecferry_schema_version (
	version INTEGER NOT NULL, 
	applied_at TEXT NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "vecferry_schema_version" VALUES(1,'2026-11-21T03:00:00.000000+00:00');
CREATE TABLE vecferry_slices (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), number INTEGER NOT NULL,
                bounds TEXT NOT NULL, row_count BIGINT, receipt TEXT, copied_at TEXT, loaded_at TEXT,
                verified TEXT, verified_at TEXT,
                PRIMARY KEY (migration, number));
INSERT INTO "vecferry_slices" VALUES('docs-20261121-7f3a',0,'{"rows":[0,5]}',5,'{"digest":"5-0a","id_max":"e","id_min":"a","number":0,"path":"parts/00000.parquet","rows":5,"sha256":"abababababababababababababababababababababababababababababababab","size_bytes":4096}','2026-11-21T03:00:01.000000+00:00','2026-11-21T03:00:01.000000+00:00','{"differences":0}','2026-11-21T03:00:01.000000+00:00');
INSERT INTO "vecferry_slices" VALUES('docs-20261121-7f3a',1,'{"rows":[5,10]}',5,NULL,NULL,NULL,NULL,NULL);
CREATE INDEX vecferry_audit_migration ON vecferry_audit (migration, number);
COMMIT;
