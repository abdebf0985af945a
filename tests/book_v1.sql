-- A book of one night as version 1 of the tables had it, which had no views.
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
    bytes BIGINT NOT NULL, head VARCHAR NOT NULL, print VARCHAR NOT NULL, is_plain BOOLEAN NOT NULL, packed BIGINT, modified BIGINT,
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
INSERT INTO blocks VALUES (1, 0, 177, '\x78\x01\x33\x34\xB2\x32\x30\x00\x22\x05\x8D\x9C\xDC\xF4\xA2\x14\x4D\x85\x10\x4F\x5F\xD7\xE0\x10\x47\xDF\x00\x05\x73\x7D\x43\x63\x7D\x23\x03\x23\x33\x2E\x43\x88\x22\x53\x05\x8D\xC4\x94\xE2\xEC\xB4\x9C\xD4\x0A\x4D\x05\xFF\xD0\x10\x2B\x05\x25\x0B\x73\x53\x13\x53\x47\x67\x97\x78\xA0\x3A\xA3\x78\x03\x37\x25\x85\xC4\xBC\x44\x87\x82\x64\x43\x2E\x43\x73\x98\xC1\x08\x3D\x9E\x7E\x84\xB4\x18\x13\x74\x0B\x00\x7B\x7C\x2C\x6A'::BLOB);
INSERT INTO book VALUES (1, '0.1.0');
INSERT INTO file_changes VALUES (1, 'debug.log', 1, 'new', 177);
INSERT INTO kept_charges VALUES (1, 'ana', 'ACD', 'mad-lic-01', TIMESTAMPTZ '2026-07-13T10:00:05+00:00', TIMESTAMPTZ '2026-07-13T22:00:00+00:00', DATE '2026-07-13', 'CHARGED', 'launch', 7.0000, 'day-server-969b9fc3', 'user ana', 'family cad', true, 1);
INSERT INTO kept_sessions VALUES (1, 'mad-lic-01', 'ana', 'pc1', '87545ACD_2022_0F', 'ACD', '2022', TIMESTAMPTZ '2026-07-13T10:00:05+00:00', TIMESTAMPTZ '2026-07-13T15:00:00+00:00', 1, 1, 'checkin', 1, 2, 'user ana', 'family cad', true);
INSERT INTO servers VALUES ('mad-lic-01', TIMESTAMPTZ '2026-07-13T15:00:00+00:00', TIMESTAMPTZ '2026-07-13T15:00:00+00:00', false, 1, 140, 4, TIMESTAMPTZ '2026-07-13T15:30:00+00:00', TIMESTAMPTZ '2026-07-13T15:00:00+00:00', []);
INSERT INTO terms VALUES (1, '{"rule": {"window": "day", "length_seconds": 86400, "zone": "server", "day_start_seconds": 0, "renew": true, "min_duration_seconds": 0, "incremental": true, "scope": "contract", "machine_metered": []}, "rates": [["ACD", "7.0000", null, "cad", null], ["RVT", "10.0000", null, "cad", null]], "users": null, "timezone": "Europe/Madrid", "server": "mad-lic-01", "encoding": "cp1252", "first_date": null}');
INSERT INTO texts VALUES (1, 'debug.log', 'debug.log', '.', 177, '7b0776f21e4925db8032164078b7a20b2bc9246d51c2f23b074731379b34f044', '648b4fa5ab679647fd989acc435b1a95c1ffe6fec4aa553f3720f0974aa8d7a5', true, 0, 1795559663335858704, ['mad-lic-01'], [], TIMESTAMPTZ '2026-07-13T10:00:00+00:00', TIMESTAMPTZ '2026-07-13T15:30:00+00:00', 1, 1);
INSERT INTO updates VALUES (1, TIMESTAMPTZ '2026-11-24T22:34:24.216345+00:00', 0.5, TIMESTAMPTZ '2026-07-13T15:00:00+00:00', true, 1, 0, 0, 1, 0, 0);
-- One number of a session is taken.
SELECT nextval('session_ids');
