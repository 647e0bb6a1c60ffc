BEGIN TRANSACTION;
CREATE TABLE vecferry_approvals (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), number INTEGER NOT NULL,
                epoch BIGINT NOT NULL, verdict TEXT NOT NULL, form TEXT NOT NULL, asked_at TEXT NOT NULL,
                answer TEXT, answered_by TEXT, note TEXT, answered_at TEXT, used_at TEXT,
                PRIMARY KEY (migration, number));
INSERT INTO "vecferry_approvals" VALUES('docs-20261121-7f3a',1,1,'39bedb6603f9b443345dfbede0ba75ca8c2b63249fae0cce56a842deff36c54f','{"lines":["docs moves"]}','2026-11-21T03:00:01.000000+00:00','approved','ann','','2026-11-21T03:00:01.000000+00:00',NULL);
CREATE TABLE vecferry_audit (
                number BIGINT PRIMARY KEY, at TEXT NOT NULL, actor TEXT NOT NULL, migration TEXT,
                event TEXT NOT NULL, detail TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL);
INSERT INTO "vecferry_audit" VALUES(1,'2026-11-21T03:00:00.000000+00:00','ann@host pid 7','docs-20261121-7f3a','migration created','{"group":"docs-group-20261121-k2m4","limit":null,"source":"numpy:///data/docs","target":"qdrant+edge:///data/new/docs"}','','04ec70969c9ff8e0b1e39951b157506fe58c28d46aa2fc423d3031a04e62255b');
INSERT INTO "vecferry_audit" VALUES(2,'2026-11-21T03:00:00.000000+00:00','ann@host pid 7','notes-20261121-9h4c','migration created','{"group":"docs-group-20261121-k2m4","limit":null,"source":"numpy:///data/notes","target":"qdrant+edge:///data/new/notes"}','04ec70969c9ff8e0b1e39951b157506fe58c28d46aa2fc423d3031a04e62255b','08908bffbfd3f1938802333a8df1b377798f907422da1f8c9540f504f220b4f7');
INSERT INTO "vecferry_audit" VALUES(3,'2026-11-21T03:00:00.000000+00:00','ann@host pid 7',NULL,'group opened','{"added":2,"group":"docs-group-20261121-k2m4"}','08908bffbfd3f1938802333a8df1b377798f907422da1f8c9540f504f220b4f7','d3f32f762970dca450c1b2d37d058714da9c513edfda67c33a2c9fd28e94bf6b');
INSERT INTO "vecferry_audit" VALUES(4,'2026-11-21T03:00:00.000000+00:00','ann@host pid 7','docs-20261121-7f3a','lease taken','{"displaced":[],"holder":"vecferry migrate (ann@host pid 7)","resources":["migration:docs-20261121-7f3a","target:qdrant+edge:///data/new/docs"],"token":1}','d3f32f762970dca450c1b2d37d058714da9c513edfda67c33a2c9fd28e94bf6b','45de16bd92b2842da0b0cf622a25ef01bdcaf2d0e42c7d5202e01721a83abd19');
INSERT INTO "vecferry_audit" VALUES(5,'2026-11-21T03:00:00.000000+00:00','ann@host pid 7','docs-20261121-7f3a','route registered','{"epoch":1,"route":"docs","url":"numpy:///data/docs"}','45de16bd92b2842da0b0cf622a25ef01bdcaf2d0e42c7d5202e01721a83abd19','cb81d5b6c979315b677f7e798617d26f088af6cc8a20b7527bac176b7899e26b');
INSERT INTO "vecferry_audit" VALUES(6,'2026-11-21T03:00:00.000000+00:00','ann@host pid 7','docs-20261121-7f3a','plan stored','{"slices":1}','cb81d5b6c979315b677f7e798617d26f088af6cc8a20b7527bac176b7899e26b','df74d5ff3b0a93c784e532a2c38af745f4ba15a39c84dd7489f98fc9799d3dd0');
INSERT INTO "vecferry_audit" VALUES(7,'2026-11-21T03:00:01.000000+00:00','ann@host pid 7','docs-20261121-7f3a','slice copied','{"digest":"5-0a","id_max":"e","id_min":"a","number":0,"path":"parts/00000.parquet","rows":5,"sha256":"abababababababababababababababababababababababababababababababab","size_bytes":4096}','df74d5ff3b0a93c784e532a2c38af745f4ba15a39c84dd7489f98fc9799d3dd0','eef58219a4d874c546c4de9693369423f8241788d3d848fa239e8c3fe3dc719c');
INSERT INTO "vecferry_audit" VALUES(8,'2026-11-21T03:00:01.000000+00:00','ann@host pid 7','docs-20261121-7f3a','slice loaded','{"number":0}','eef58219a4d874c546c4de9693369423f8241788d3d848fa239e8c3fe3dc719c','3025adeaf43b37985feb77edc30967edd1a41ff93c25282dc800e191a45db170');
INSERT INTO "vecferry_audit" VALUES(9,'2026-11-21T03:00:01.000000+00:00','ann@host pid 7','docs-20261121-7f3a','slice verified','{"number":0,"result":{"differences":0}}','3025adeaf43b37985feb77edc30967edd1a41ff93c25282dc800e191a45db170','6bf73f662ca0d5f5bdc9bad38214b2980f7497b7da365ee67e00909a049e5882');
INSERT INTO "vecferry_audit" VALUES(10,'2026-11-21T03:00:01.000000+00:00','ann@host pid 7','docs-20261121-7f3a','fact set','{"key":"verdict","value":{"state":"same"}}','6bf73f662ca0d5f5bdc9bad38214b2980f7497b7da365ee67e00909a049e5882','5c9ba88e75e9134ee33d46dd1bf2e798b861fd0419d1d697f5b63378b0925b69');
INSERT INTO "vecferry_audit" VALUES(11,'2026-11-21T03:00:01.000000+00:00','ann@host pid 7','docs-20261121-7f3a','verified','{"from":"PLANNED","to":"READY"}','5c9ba88e75e9134ee33d46dd1bf2e798b861fd0419d1d697f5b63378b0925b69','cbd95307b52f48372b81a4e132043e0a85a6697ecda5576b40b6cf31d2d4c9a6');
INSERT INTO "vecferry_audit" VALUES(12,'2026-11-21T03:00:01.000000+00:00','ann@host pid 7','docs-20261121-7f3a','approval asked','{"epoch":1,"form":{"lines":["docs moves"]},"number":1,"verdict":"39bedb6603f9b443345dfbede0ba75ca8c2b63249fae0cce56a842deff36c54f"}','cbd95307b52f48372b81a4e132043e0a85a6697ecda5576b40b6cf31d2d4c9a6','5a40f832b9ed87087b6515fb28f9af730b95f13d41e9690436246e35491752f1');
INSERT INTO "vecferry_audit" VALUES(13,'2026-11-21T03:00:01.000000+00:00','ann@host pid 7','docs-20261121-7f3a','approval approved','{"answer":"approved","answered_by":"ann","note":"","number":1}','5a40f832b9ed87087b6515fb28f9af730b95f13d41e9690436246e35491752f1','dbae6d2b17015cb4d87a24f4d61ada935738f502047bbd450be61bb54c0f4b7f');
CREATE TABLE vecferry_audit_head (number BIGINT NOT NULL, hash TEXT NOT NULL);
INSERT INTO "vecferry_audit_head" VALUES(13,'dbae6d2b17015cb4d87a24f4d61ada935738f502047bbd450be61bb54c0f4b7f');
CREATE TABLE vecferry_counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
INSERT INTO "vecferry_counters" VALUES('lease token',1);
CREATE TABLE vecferry_facts (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), name TEXT NOT NULL,
                value TEXT NOT NULL, set_at TEXT NOT NULL,
                PRIMARY KEY (migration, name));
INSERT INTO "vecferry_facts" VALUES('docs-20261121-7f3a','verdict','{"state":"same"}','2026-11-21T03:00:01.000000+00:00');
CREATE TABLE vecferry_groups (
                id TEXT PRIMARY KEY, identity TEXT NOT NULL, strategy TEXT NOT NULL,
                source_url TEXT NOT NULL, target_url TEXT NOT NULL, request TEXT NOT NULL, created_at TEXT NOT NULL);
INSERT INTO "vecferry_groups" VALUES('docs-group-20261121-k2m4','same','blue-green','numpy:///data','qdrant+edge:///data/new','{"names":["docs","notes"]}','2026-11-21T03:00:00.000000+00:00');
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
                plan TEXT, planned_at TEXT, group_id TEXT, member INTEGER);
INSERT INTO "vecferry_migrations" VALUES('docs-20261121-7f3a','docs','blue-green','numpy:///data/docs','qdrant+edge:///data/new/docs','docs','/data/archive','{"batch_rows":1000}',NULL,'READY','2026-11-21T03:00:00.000000+00:00','2026-11-21T03:00:01.000000+00:00','{"rows":5}','2026-11-21T03:00:00.000000+00:00','docs-group-20261121-k2m4',0);
INSERT INTO "vecferry_migrations" VALUES('notes-20261121-9h4c','notes','blue-green','numpy:///data/notes','qdrant+edge:///data/new/notes','notes','/data/archive','{"batch_rows":1000}',NULL,'PLANNED','2026-11-21T03:00:00.000000+00:00','2026-11-21T03:00:00.000000+00:00',NULL,NULL,'docs-group-20261121-k2m4',1);
CREATE TABLE vecferry_routes (
                name TEXT PRIMARY KEY, url TEXT NOT NULL, epoch BIGINT NOT NULL, previous_url TEXT,
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), changed_at TEXT NOT NULL,
                alias TEXT, alias_confirmed_at TEXT);
INSERT INTO "vecferry_routes" VALUES('docs','numpy:///data/docs',1,NULL,'docs-20261121-7f3a','2026-11-21T03:00:00.000000+00:00',NULL,NULL);
CREATE TABLE vecferry_schema_version (
	version INTEGER NOT NULL, 
	applied_at TEXT NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "vecferry_schema_version" VALUES(1,'2026-11-21T03:00:00.000000+00:00');
INSERT INTO "vecferry_schema_version" VALUES(2,'2026-11-21T03:00:00.000000+00:00');
CREATE TABLE vecferry_slices (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), number INTEGER NOT NULL,
                bounds TEXT NOT NULL, row_count BIGINT, receipt TEXT, copied_at TEXT, loaded_at TEXT,
                verified TEXT, verified_at TEXT,
                PRIMARY KEY (migration, number));
INSERT INTO "vecferry_slices" VALUES('docs-20261121-7f3a',0,'{"rows":[0,5]}',5,'{"digest":"5-0a","id_max":"e","id_min":"a","number":0,"path":"parts/00000.parquet","rows":5,"sha256":"abababababababababababababababababababababababababababababababab","size_bytes":4096}','2026-11-21T03:00:01.000000+00:00','2026-11-21T03:00:01.000000+00:00','{"differences":0}','2026-11-21T03:00:01.000000+00:00');
CREATE INDEX vecferry_audit_migration ON vecferry_audit (migration, number);
CREATE INDEX vecferry_migrations_group ON vecferry_migrations (group_id, member);
COMMIT;
