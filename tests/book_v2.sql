-- A book of two nights as version 2 of the tables had it, which knew a text again by pieces of it.
SET TimeZone = 'UTC';
CREATE TABLE book (version INTEGER NOT NULL, written_by VARCHAR NOT NULL);
CREATE TABLE terms (since BIGINT NOT NULL, terms VARCHAR NOT NULL);
CREATE TABLE updates (
    "update" BIGINT NOT NULL, ended_at TIMESTAMPTZ NOT NULL, seconds DOUBLE NOT NULL, as_of TIMESTAMPTZ,
    "full" BOOLEAN NOT NULL, sessions_new BIGINT NOT NULL, sessions_changed BIGINT NOT NULL,
    sessions_removed BIGINT NOT NULL, charges_new BIGINT NOT NULL, charges_removed BIGINT NOT NULL,
    corrections BIGINT NOT NULL
);
CREATE TABLE texts (
    text BIGINT NOT NULL, name VARCHAR NOT NULL, origin VARCHAR NOT NULL, folder VARCHAR NOT NULL,
    bytes BIGINT NOT NULL, head VARCHAR NOT NULL, print VARCHAR NOT NULL, is_plain BOOLEAN NOT NULL,
    packed BIGINT, modified BIGINT,
    servers VARCHAR[] NOT NULL, hosts VARCHAR[] NOT NULL, first TIMESTAMPTZ, last TIMESTAMPTZ,
    first_update BIGINT NOT NULL, last_update BIGINT NOT NULL
);
CREATE TABLE blocks (text BIGINT NOT NULL, start BIGINT NOT NULL, bytes BIGINT NOT NULL, content BLOB NOT NULL);
CREATE TABLE file_changes ("update" BIGINT NOT NULL, file VARCHAR NOT NULL, text BIGINT, what VARCHAR NOT NULL,
    bytes BIGINT NOT NULL);
CREATE TABLE servers (
    server VARCHAR NOT NULL, last_event TIMESTAMPTZ, certain_until TIMESTAMPTZ, has_forks BOOLEAN NOT NULL,
    cut_text BIGINT, cut_byte BIGINT, cut_line BIGINT, cut_at TIMESTAMPTZ, last_seen TIMESTAMPTZ, tail BIGINT[] NOT NULL
);
CREATE TABLE carried (
    server VARCHAR NOT NULL, time TIMESTAMPTZ NOT NULL, kind VARCHAR NOT NULL, feature VARCHAR, "user" VARCHAR,
    host VARCHAR, daemon VARCHAR, text BIGINT NOT NULL, line BIGINT NOT NULL, licenses BIGINT NOT NULL,
    peak BIGINT NOT NULL, checkouts BIGINT NOT NULL, set_aside BIGINT NOT NULL, closing_until TIMESTAMPTZ
);
CREATE TABLE packages (server VARCHAR, daemon VARCHAR, package VARCHAR, component VARCHAR);
CREATE TABLE log_problems (
    server VARCHAR, text BIGINT, verb VARCHAR NOT NULL, location BIGINT, code VARCHAR NOT NULL,
    message VARCHAR NOT NULL, is_settled BOOLEAN NOT NULL
);
CREATE TABLE kept_sessions (
    id BIGINT NOT NULL, server VARCHAR NOT NULL, "user" VARCHAR NOT NULL, host VARCHAR NOT NULL,
    feature VARCHAR NOT NULL, product VARCHAR, version VARCHAR, start TIMESTAMPTZ NOT NULL, "end" TIMESTAMPTZ,
    licenses BIGINT NOT NULL, checkouts BIGINT NOT NULL, end_reason VARCHAR NOT NULL, text BIGINT NOT NULL,
    line BIGINT, payer VARCHAR, unit VARCHAR, is_settled BOOLEAN NOT NULL
);
CREATE TABLE kept_charges (
    session_id BIGINT NOT NULL, "user" VARCHAR, product VARCHAR, server VARCHAR, charged_at TIMESTAMPTZ NOT NULL,
    window_end TIMESTAMPTZ, usage_date DATE, category VARCHAR NOT NULL, "trigger" VARCHAR NOT NULL,
    tokens DECIMAL(38, 4), rule_id VARCHAR NOT NULL, payer VARCHAR, unit VARCHAR, is_final BOOLEAN NOT NULL,
    since BIGINT NOT NULL
);
CREATE TABLE corrections (
    "update" BIGINT NOT NULL, why VARCHAR NOT NULL, what VARCHAR NOT NULL, "user" VARCHAR, product VARCHAR,
    server VARCHAR, charged_at TIMESTAMPTZ NOT NULL, usage_date DATE, tokens_before DECIMAL(38, 4),
    tokens_after DECIMAL(38, 4), trigger_before VARCHAR, trigger_after VARCHAR
);
CREATE SEQUENCE session_ids;
CREATE VIEW sessions AS
    SELECT id, server, "user", host, feature, product, version, start,
        coalesce("end", greatest(start, (SELECT max(last_event) FROM servers))) AS "end", licenses, checkouts,
        end_reason, "end" IS NULL AS is_open, (SELECT name FROM texts WHERE texts.text = kept_sessions.text) AS file,
        line
    FROM kept_sessions;
CREATE VIEW charges AS
    SELECT "user", product, server, charged_at, window_end, usage_date, category, "trigger", tokens,
        session_id AS session, rule_id, is_final, since AS "update"
    FROM kept_charges;
CREATE VIEW sources AS
    SELECT text, name AS file, servers, bytes, first, last, first_update, last_update FROM texts;
INSERT INTO blocks VALUES (1, 0, 177, '\x78\x01\x33\x34\xB2\x32\x30\x00\x22\x05\x8D\x9C\xDC\xF4\xA2\x14\x4D\x85\x10\x4F\x5F\xD7\xE0\x10\x47\xDF\x00\x05\x73\x7D\x43\x63\x7D\x23\x03\x23\x33\x2E\x43\x88\x22\x53\x05\x8D\xC4\x94\xE2\xEC\xB4\x9C\xD4\x0A\x4D\x05\xFF\xD0\x10\x2B\x05\x25\x0B\x73\x53\x13\x53\x47\x67\x97\x78\xA0\x3A\xA3\x78\x03\x37\x25\x85\xC4\xBC\x44\x87\x82\x64\x43\x2E\x43\x73\x98\xC1\x08\x3D\x9E\x7E\x84\xB4\x18\x13\x74\x0B\x00\x7B\x7C\x2C\x6A'::BLOB);
INSERT INTO blocks VALUES (1, 177, 177, '\x78\x01\x33\x34\xB2\x32\x30\x00\x22\x05\x8D\x9C\xDC\xF4\xA2\x14\x4D\x85\x10\x4F\x5F\xD7\xE0\x10\x47\xDF\x00\x05\x73\x7D\x43\x13\x7D\x23\x03\x23\x33\x2E\x43\x88\x22\x53\x05\x8D\xC4\x94\xE2\xEC\xB4\x9C\xD4\x0A\x4D\x05\xFF\xD0\x10\x2B\x05\x25\x0B\x73\x53\x13\x53\x47\x67\x97\x78\xA0\x3A\xA3\x78\x03\x37\x25\x85\xC4\xBC\x44\x87\x82\x64\x43\x2E\x43\x73\x98\xC1\x08\x3D\x9E\x7E\x84\xB4\x18\x13\x74\x0B\x00\x7C\x16\x2C\x6C'::BLOB);
INSERT INTO book VALUES (2, '0.1.0');
INSERT INTO file_changes VALUES (1, 'debug.log', 1, 'new', 177);
INSERT INTO file_changes VALUES (2, 'debug.log', 1, 'grown', 177);
INSERT INTO kept_charges VALUES (1, 'ana', 'ACD', 'mad-lic-01', TIMESTAMPTZ '2026-07-13T10:00:05+00:00', TIMESTAMPTZ '2026-07-13T22:00:00+00:00', DATE '2026-07-13', 'CHARGED', 'launch', 7.0000, 'day-server-969b9fc3', 'user ana', 'product ACD', true, 1);
INSERT INTO kept_charges VALUES (2, 'ana', 'ACD', 'mad-lic-01', TIMESTAMPTZ '2026-07-14T10:00:05+00:00', TIMESTAMPTZ '2026-07-14T22:00:00+00:00', DATE '2026-07-14', 'CHARGED', 'launch', 7.0000, 'day-server-969b9fc3', 'user ana', 'product ACD', true, 2);
INSERT INTO kept_sessions VALUES (1, 'mad-lic-01', 'ana', 'pc1', '87545ACD_2022_0F', 'ACD', '2022', TIMESTAMPTZ '2026-07-13T10:00:05+00:00', TIMESTAMPTZ '2026-07-13T15:00:00+00:00', 1, 1, 'checkin', 1, 2, 'user ana', 'product ACD', true);
INSERT INTO kept_sessions VALUES (2, 'mad-lic-01', 'ana', 'pc1', '87545ACD_2022_0F', 'ACD', '2022', TIMESTAMPTZ '2026-07-14T10:00:05+00:00', TIMESTAMPTZ '2026-07-14T15:00:00+00:00', 1, 1, 'checkin', 1, 6, 'user ana', 'product ACD', true);
INSERT INTO log_problems VALUES ('mad-lic-01', 1, 'read_flexlm', 5, 'date_corrected', 'the log says 2026-07-14: 1 more day(s) than its times show, added at line 5', true);
INSERT INTO servers VALUES ('mad-lic-01', TIMESTAMPTZ '2026-07-14T15:00:00+00:00', TIMESTAMPTZ '2026-07-14T15:00:00+00:00', false, 1, 317, 8, TIMESTAMPTZ '2026-07-14T15:30:00+00:00', TIMESTAMPTZ '2026-07-14T15:00:00+00:00', []);
INSERT INTO terms VALUES (1, '{"rule": {"window": "day", "length_seconds": 86400, "zone": "server", "day_start_seconds": 0, "renew": true, "min_duration_seconds": 0, "incremental": true, "scope": "contract", "machine_metered": []}, "rates": [["ACD", "7.0000", null, null, null]], "users": null, "timezone": "Europe/Madrid", "server": "mad-lic-01", "encoding": "cp1252", "first_date": null}');
INSERT INTO texts VALUES (1, 'debug.log', 'debug.log', '.', 354, '6fcee0520733ec86cd853ace3f8a51a3b1494cc3bbd436cc280123f18695eeb2', '683e57a868045eb155e3e87f64221f02be3b7d955fe9d437cfda133cf6dcc164', true, 354, 1795568680352972975, ['mad-lic-01'], [], TIMESTAMPTZ '2026-07-13T10:00:00+00:00', TIMESTAMPTZ '2026-07-14T15:30:00+00:00', 1, 2);
INSERT INTO updates VALUES (1, TIMESTAMPTZ '2026-11-25T01:04:40.283415+00:00', 0.19103545200050576, TIMESTAMPTZ '2026-07-13T15:00:00+00:00', true, 1, 0, 0, 1, 0, 0);
INSERT INTO updates VALUES (2, TIMESTAMPTZ '2026-11-25T01:04:40.464576+00:00', 0.1078792539992719, TIMESTAMPTZ '2026-07-14T15:00:00+00:00', false, 1, 0, 0, 1, 0, 0);
SELECT nextval('session_ids') FROM range((SELECT count(*) FROM kept_sessions));
