BEGIN TRANSACTION;
CREATE TABLE vecferry_approvals (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), number INTEGER NOT NULL,
                epoch BIGINT NOT NULL, verdict TEXT NOT NULL, form TEXT NOT NULL, asked_at TEXT NOT NULL,
                answer TEXT, answered_by TEXT, note TEXT, answered_at TEXT, used_at TEXT, kind TEXT NOT NULL DEFAULT 'switch', workspaces TEXT, largest_delta_rows BIGINT, expires_at TEXT,
                PRIMARY KEY (migration, number));
INSERT INTO "vecferry_approvals" VALUES('docs-20261121-7f3a',1,1,'39bedb6603f9b443345dfbede0ba75ca8c2b63249fae0cce56a842deff36c54f','{"lines":["docs moves"]}','2026-11-21T03:00:02.000000+00:00','approved','ann','','2026-11-21T03:00:02.000000+00:00',NULL,'switch',NULL,1000,'2026-11-21T04:00:02.000000+00:00');
CREATE TABLE vecferry_audit (
                number BIGINT PRIMARY KEY, at TEXT NOT NULL, actor TEXT NOT NULL, migration TEXT,
                event TEXT NOT NULL, detail TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL);
INSERT INTO "vecferry_audit" VALUES(1,'2026-11-21T03:00:00.000000+00:00','ann@host pid 7','docs-20261121-7f3a','migration created','{"limit":null,"source":"numpy:///data/docs","target":"qdrant+edge:///data/new/docs"}','','bad74807728318746632b4750298bab01e69825b100b7252725c1fa5bc5cb11a');
INSERT INTO "vecferry_audit" VALUES(2,'2026-11-21T03:00:00.000000+00:00','ann@host pid 7','docs-20261121-7f3a','lease taken','{"displaced":[],"holder":"vecferry migrate (ann@host pid 7)","resources":["migration:docs-20261121-7f3a"],"token":1}','bad74807728318746632b4750298bab01e69825b100b7252725c1fa5bc5cb11a','e27fc71e531967c770d3a47dd0a1aad8fed38c8ac62b32d5fb1de23a389437a2');
INSERT INTO "vecferry_audit" VALUES(3,'2026-11-21T03:00:00.000000+00:00','ann@host pid 7','docs-20261121-7f3a','route registered','{"epoch":1,"route":"docs","url":"numpy:///data/docs"}','e27fc71e531967c770d3a47dd0a1aad8fed38c8ac62b32d5fb1de23a389437a2','c9d31dbdf782a18315b21cf36f8e59883fd647fea94542172f7661fc41f64619');
INSERT INTO "vecferry_audit" VALUES(4,'2026-11-21T03:00:01.000000+00:00','ann@host pid 7','docs-20261121-7f3a','pass begun','{"direction":"forward","number":1,"whole":true,"workspace":null}','c9d31dbdf782a18315b21cf36f8e59883fd647fea94542172f7661fc41f64619','c0461fe2fdd8e1680759c1021d23584903837f1dc6bbe96952f6782e5e839030');
INSERT INTO "vecferry_audit" VALUES(5,'2026-11-21T03:00:02.000000+00:00','ann@host pid 7','docs-20261121-7f3a','pass ended','{"differences":2,"digest":"5-0a","note":{},"number":1}','c0461fe2fdd8e1680759c1021d23584903837f1dc6bbe96952f6782e5e839030','2ed1803ea554af5635afc80f40fa0cc2b6002e858fb9f2c50e1bf6342b5457e4');
INSERT INTO "vecferry_audit" VALUES(6,'2026-11-21T03:00:02.000000+00:00','ann@host pid 7','docs-20261121-7f3a','delta reserved','{"direction":"forward","number":1,"workspace":null}','2ed1803ea554af5635afc80f40fa0cc2b6002e858fb9f2c50e1bf6342b5457e4','08d8ca1c404bd74038b6488841f420b32035fa19ccc779ff275a3eb958f8fa1a');
INSERT INTO "vecferry_audit" VALUES(7,'2026-11-21T03:00:02.000000+00:00','ann@host pid 7','docs-20261121-7f3a','delta recorded','{"counts":{"tombstones":1,"upserts":4},"direction":"forward","note":{},"receipt":{"digest":"5-0a","id_max":null,"id_min":null,"number":1,"path":"deltas/00001.parquet","rows":5,"sha256":"abababababababababababababababababababababababababababababababab","size_bytes":4096},"workspace":null}','08d8ca1c404bd74038b6488841f420b32035fa19ccc779ff275a3eb958f8fa1a','5475c2a34c110c12cbe85ee2ef273ebbff80b09702bf4fad8997f9dad5083fd7');
INSERT INTO "vecferry_audit" VALUES(8,'2026-11-21T03:00:02.000000+00:00','ann@host pid 7','docs-20261121-7f3a','delta loaded','{"number":1}','5475c2a34c110c12cbe85ee2ef273ebbff80b09702bf4fad8997f9dad5083fd7','d7e8736ba07ec63693e1e727ca5b9f9747e3adcf9ca66eccf8f9401a9ac43a3d');
INSERT INTO "vecferry_audit" VALUES(9,'2026-11-21T03:00:02.000000+00:00','ann@host pid 7','docs-20261121-7f3a','delta closed','{"closing":1,"hashes":{"digest":"5-0c","id_max":null,"id_min":null,"number":1,"path":"deltas/00001.hashes.parquet","rows":5,"sha256":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd","size_bytes":512},"number":1}','d7e8736ba07ec63693e1e727ca5b9f9747e3adcf9ca66eccf8f9401a9ac43a3d','2ddaa00825241956962e728d4f477315a2030d135cc5a7001f68b869c76aa8bd');
INSERT INTO "vecferry_audit" VALUES(10,'2026-11-21T03:00:02.000000+00:00','ann@host pid 7','docs-20261121-7f3a','delta reserved','{"direction":"forward","number":2,"workspace":null}','2ddaa00825241956962e728d4f477315a2030d135cc5a7001f68b869c76aa8bd','47d7619b6f69cd1937ac51848830196fa02ba401910470393b8c00027fa5540f');
INSERT INTO "vecferry_audit" VALUES(11,'2026-11-21T03:00:02.000000+00:00','ann@host pid 7','docs-20261121-7f3a','delta recorded','{"counts":{"tombstones":1,"upserts":4},"direction":"forward","note":{"pass":2},"receipt":{"digest":"5-0a","id_max":null,"id_min":null,"number":2,"path":"deltas/00002.parquet","rows":5,"sha256":"abababababababababababababababababababababababababababababababab","size_bytes":4096},"workspace":null}','47d7619b6f69cd1937ac51848830196fa02ba401910470393b8c00027fa5540f','072318c699c2b2b19cc0cf9e64560ade2f0981bb0c82462db14e55e87e1f146b');
INSERT INTO "vecferry_audit" VALUES(12,'2026-11-21T03:00:02.000000+00:00','ann@host pid 7','docs-20261121-7f3a','delta reserved','{"direction":"reverse","number":3,"workspace":null}','072318c699c2b2b19cc0cf9e64560ade2f0981bb0c82462db14e55e87e1f146b','4895b40900c54cf5734715c214bfbea0f1c00c0bbfb24668c7adc642a9210c79');
INSERT INTO "vecferry_audit" VALUES(13,'2026-11-21T03:00:02.000000+00:00','ann@host pid 7','docs-20261121-7f3a','pass begun','{"direction":"forward","number":2,"whole":true,"workspace":null}','4895b40900c54cf5734715c214bfbea0f1c00c0bbfb24668c7adc642a9210c79','8837b460e146fa90aade43a1faa1346f901314dc1b8d0496e538307b75e4ceb6');
INSERT INTO "vecferry_audit" VALUES(14,'2026-11-21T03:00:02.000000+00:00','ann@host pid 7','docs-20261121-7f3a','fact set','{"key":"verdict","value":{"state":"same"}}','8837b460e146fa90aade43a1faa1346f901314dc1b8d0496e538307b75e4ceb6','3ce99a49db2d8ee0dabb9ed40750b1fdbb55be2e54f4e0548de65ce0ebdd0a6c');
INSERT INTO "vecferry_audit" VALUES(15,'2026-11-21T03:00:02.000000+00:00','ann@host pid 7','docs-20261121-7f3a','verified','{"from":"PLANNED","to":"READY"}','3ce99a49db2d8ee0dabb9ed40750b1fdbb55be2e54f4e0548de65ce0ebdd0a6c','14888c9421f529bc5ceb0fc6e58d43f70790d1840267e4ff82cead9c2030ae96');
INSERT INTO "vecferry_audit" VALUES(16,'2026-11-21T03:00:02.000000+00:00','ann@host pid 7','docs-20261121-7f3a','approval asked','{"epoch":1,"form":{"lines":["docs moves"]},"kind":"switch","largest_delta_rows":1000,"number":1,"valid_for_s":3600,"verdict":"39bedb6603f9b443345dfbede0ba75ca8c2b63249fae0cce56a842deff36c54f"}','14888c9421f529bc5ceb0fc6e58d43f70790d1840267e4ff82cead9c2030ae96','365fcf6540f6d1f570814ff0edbc3a3bc88f0aac39de3eed6f61b86fd0af084c');
INSERT INTO "vecferry_audit" VALUES(17,'2026-11-21T03:00:02.000000+00:00','ann@host pid 7','docs-20261121-7f3a','approval approved','{"answer":"approved","answered_by":"ann","note":"","number":1}','365fcf6540f6d1f570814ff0edbc3a3bc88f0aac39de3eed6f61b86fd0af084c','f7b7e6e475fd4b214f149169bff08a0f9a89de99874f1839de2e5c59108ea40d');
CREATE TABLE vecferry_audit_head (number BIGINT NOT NULL, hash TEXT NOT NULL);
INSERT INTO "vecferry_audit_head" VALUES(17,'f7b7e6e475fd4b214f149169bff08a0f9a89de99874f1839de2e5c59108ea40d');
CREATE TABLE vecferry_counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
INSERT INTO "vecferry_counters" VALUES('lease token',1);
INSERT INTO "vecferry_counters" VALUES('pause token',0);
CREATE TABLE vecferry_deltas (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), number INTEGER NOT NULL,
                direction TEXT NOT NULL, workspace TEXT, receipt TEXT, counts TEXT, note TEXT, recorded_at TEXT,
                loaded_at TEXT, hashes TEXT, closing INTEGER, closed_at TEXT,
                PRIMARY KEY (migration, number));
INSERT INTO "vecferry_deltas" VALUES('docs-20261121-7f3a',1,'forward',NULL,'{"digest":"5-0a","id_max":null,"id_min":null,"number":1,"path":"deltas/00001.parquet","rows":5,"sha256":"abababababababababababababababababababababababababababababababab","size_bytes":4096}','{"tombstones":1,"upserts":4}','{}','2026-11-21T03:00:02.000000+00:00','2026-11-21T03:00:02.000000+00:00','{"digest":"5-0c","id_max":null,"id_min":null,"number":1,"path":"deltas/00001.hashes.parquet","rows":5,"sha256":"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd","size_bytes":512}',1,'2026-11-21T03:00:02.000000+00:00');
INSERT INTO "vecferry_deltas" VALUES('docs-20261121-7f3a',2,'forward',NULL,'{"digest":"5-0a","id_max":null,"id_min":null,"number":2,"path":"deltas/00002.parquet","rows":5,"sha256":"abababababababababababababababababababababababababababababababab","size_bytes":4096}','{"tombstones":1,"upserts":4}','{"pass":2}','2026-11-21T03:00:02.000000+00:00',NULL,NULL,NULL,NULL);
INSERT INTO "vecferry_deltas" VALUES('docs-20261121-7f3a',3,'reverse',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE vecferry_facts (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), name TEXT NOT NULL,
                value TEXT NOT NULL, set_at TEXT NOT NULL,
                PRIMARY KEY (migration, name));
INSERT INTO "vecferry_facts" VALUES('docs-20261121-7f3a','verdict','{"state":"same"}','2026-11-21T03:00:02.000000+00:00');
CREATE TABLE vecferry_groups (
                id TEXT PRIMARY KEY, identity TEXT NOT NULL, strategy TEXT NOT NULL,
                source_url TEXT NOT NULL, target_url TEXT NOT NULL, request TEXT NOT NULL, created_at TEXT NOT NULL);
CREATE TABLE vecferry_hooks (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), number INTEGER NOT NULL,
                action TEXT NOT NULL, workspace TEXT, epoch BIGINT NOT NULL, request TEXT NOT NULL,
                intended_at TEXT NOT NULL, outcome TEXT, ended_at TEXT,
                PRIMARY KEY (migration, number));
CREATE TABLE vecferry_leases (
                resource TEXT PRIMARY KEY, token BIGINT NOT NULL, holder TEXT NOT NULL,
                acquired_at TEXT NOT NULL, expires_at TEXT NOT NULL);
INSERT INTO "vecferry_leases" VALUES('migration:docs-20261121-7f3a',1,'{"boot_id":"boot","host":"host","pid":7,"pid_namespace":"pid:[1]","purpose":"vecferry migrate","started_ticks":7,"user":"ann"}','2026-11-21T03:00:00.000000+00:00','2026-11-21T03:01:00.000000+00:00');
CREATE TABLE vecferry_migrations (
                id TEXT PRIMARY KEY, name TEXT NOT NULL, strategy TEXT NOT NULL,
                source_url TEXT NOT NULL, target_url TEXT NOT NULL, route TEXT NOT NULL,
                archive TEXT NOT NULL, config TEXT NOT NULL, row_limit BIGINT,
                state TEXT NOT NULL, created_at TEXT NOT NULL, changed_at TEXT NOT NULL,
                plan TEXT, planned_at TEXT, group_id TEXT, member INTEGER, parent TEXT, workspace TEXT);
INSERT INTO "vecferry_migrations" VALUES('docs-20261121-7f3a','docs','blue-green','numpy:///data/docs','qdrant+edge:///data/new/docs','docs','/data/archive','{"batch_rows":1000}',NULL,'READY','2026-11-21T03:00:00.000000+00:00','2026-11-21T03:00:02.000000+00:00',NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE vecferry_outbox (
                number BIGINT PRIMARY KEY, id TEXT NOT NULL, event TEXT NOT NULL, migration TEXT,
                payload TEXT NOT NULL, at TEXT NOT NULL, sent_at TEXT);
INSERT INTO "vecferry_outbox" VALUES(15,'ed1bb538-1f4c-51d2-9a82-dc072f9f978e','vecferry.migration.ready','docs-20261121-7f3a','{"at":"2026-11-21T03:00:02.000000+00:00","detail":{},"event":"verified","from":"PLANNED","migration":"docs-20261121-7f3a","to":"READY"}','2026-11-21T03:00:02.000000+00:00',NULL);
CREATE TABLE vecferry_passes (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), number INTEGER NOT NULL,
                direction TEXT NOT NULL, workspace TEXT, whole INTEGER NOT NULL, started_at TEXT NOT NULL,
                ended_at TEXT, differences BIGINT, digest TEXT, note TEXT,
                PRIMARY KEY (migration, number));
INSERT INTO "vecferry_passes" VALUES('docs-20261121-7f3a',1,'forward',NULL,1,'2026-11-21T03:00:01.000000+00:00','2026-11-21T03:00:02.000000+00:00',2,'5-0a','{}');
INSERT INTO "vecferry_passes" VALUES('docs-20261121-7f3a',2,'forward',NULL,1,'2026-11-21T03:00:02.000000+00:00',NULL,NULL,NULL,NULL);
CREATE TABLE vecferry_pauses (
                route TEXT NOT NULL REFERENCES vecferry_routes (name), workspace TEXT NOT NULL,
                token BIGINT NOT NULL, migration TEXT NOT NULL REFERENCES vecferry_migrations (id),
                approval INTEGER, returns_to TEXT, paused_at TEXT NOT NULL, paused_until TEXT NOT NULL,
                released_at TEXT, released_by TEXT,
                PRIMARY KEY (route, workspace));
CREATE TABLE vecferry_routes (
                name TEXT PRIMARY KEY, url TEXT NOT NULL, epoch BIGINT NOT NULL, previous_url TEXT,
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), changed_at TEXT NOT NULL,
                alias TEXT, alias_confirmed_at TEXT, reads_url TEXT);
INSERT INTO "vecferry_routes" VALUES('docs','numpy:///data/docs',1,NULL,'docs-20261121-7f3a','2026-11-21T03:00:00.000000+00:00',NULL,NULL,NULL);
CREATE TABLE vecferry_schema_version (
	version INTEGER NOT NULL, 
	applied_at TEXT NOT NULL, 
	PRIMARY KEY (version)
);
INSERT INTO "vecferry_schema_version" VALUES(1,'2026-11-21T22:14:57.252952+00:00');
INSERT INTO "vecferry_schema_version" VALUES(2,'2026-11-21T22:14:57.252952+00:00');
INSERT INTO "vecferry_schema_version" VALUES(3,'2026-11-21T22:14:57.252952+00:00');
INSERT INTO "vecferry_schema_version" VALUES(4,'2026-11-21T22:14:57.252952+00:00');
CREATE TABLE vecferry_slices (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), number INTEGER NOT NULL,
                bounds TEXT NOT NULL, row_count BIGINT, receipt TEXT, copied_at TEXT, loaded_at TEXT,
                verified TEXT, verified_at TEXT,
                PRIMARY KEY (migration, number));
CREATE TABLE vecferry_workspace_routes (
                route TEXT NOT NULL REFERENCES vecferry_routes (name), workspace TEXT NOT NULL,
                url TEXT NOT NULL, epoch BIGINT NOT NULL, previous_url TEXT,
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), changed_at TEXT NOT NULL,
                reads_url TEXT,
                PRIMARY KEY (route, workspace));
CREATE TABLE vecferry_workspaces (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), number INTEGER NOT NULL,
                key TEXT NOT NULL, row_count BIGINT NOT NULL, position INTEGER NOT NULL, state TEXT NOT NULL,
                attempts INTEGER NOT NULL, hold TEXT, note TEXT NOT NULL, approval INTEGER, changed_at TEXT NOT NULL, condition TEXT,
                PRIMARY KEY (migration, number));
CREATE INDEX vecferry_audit_migration ON vecferry_audit (migration, number);
CREATE INDEX vecferry_migrations_group ON vecferry_migrations (group_id, member);
CREATE UNIQUE INDEX vecferry_workspaces_key ON vecferry_workspaces (migration, key);
CREATE INDEX vecferry_outbox_unsent ON vecferry_outbox (number) WHERE sent_at IS NULL;
CREATE INDEX vecferry_migrations_parent ON vecferry_migrations (parent);
COMMIT;
