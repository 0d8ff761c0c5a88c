SET 'execution.runtime-mode' = 'streaming';
SET 'table.dml-sync' = 'false';
SET 'table.local-time-zone' = 'UTC';
CREATE TABLE events (
  event_id STRING, user_id BIGINT, ts TIMESTAMP_LTZ(3), event_type STRING, country STRING, price DOUBLE, quantity INT,
  is_mobile BOOLEAN, url STRING, referrer STRING, session_id STRING,
  properties ROW<campaign STRING, ab_bucket INT, score DOUBLE>, tags ARRAY<STRING>, amount DECIMAL(18, 2)
) WITH (
  'connector' = 'kafka', 'topic' = '@TOPIC@', 'properties.bootstrap.servers' = '@SERVERS@',
  'properties.group.id' = '@GROUP@', 'properties.isolation.level' = 'read_committed',
  'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
  'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601'
);
CREATE TABLE files WITH (
  'connector' = 'filesystem', 'path' = 'file://@FOLDER@', 'format' = 'parquet',
  'parquet.compression' = 'ZSTD', 'parquet.compression.codec.zstd.level' = '1',
  'parquet.utc-timezone' = 'true', 'parquet.write.int64.timestamp' = 'true', 'parquet.timestamp.time.unit' = 'millis',
  'sink.rolling-policy.file-size' = '256MB'
) LIKE events (EXCLUDING ALL);
INSERT INTO files SELECT * FROM events;
