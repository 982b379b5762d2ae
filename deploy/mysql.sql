-- OpenSIPS's table of destinations, version 9, as `ds-farm init` makes it; for MySQL and MariaDB.
-- Only makes what is missing: no row of an existing table is touched.
CREATE TABLE IF NOT EXISTS version (
  table_name CHAR(32) NOT NULL,
  table_version INT UNSIGNED NOT NULL DEFAULT 0,
  CONSTRAINT t_name_idx UNIQUE (table_name)
);

CREATE TABLE IF NOT EXISTS dispatcher (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  setid INT NOT NULL DEFAULT 0,
  destination CHAR(192) NOT NULL DEFAULT '',
  socket CHAR(128) DEFAULT NULL,
  state INT NOT NULL DEFAULT 0,
  weight CHAR(64) NOT NULL DEFAULT '1',
  priority INT NOT NULL DEFAULT 0,
  attrs CHAR(128) DEFAULT NULL,
  description CHAR(64) DEFAULT NULL,
  probe_mode INT UNSIGNED NOT NULL DEFAULT 0
);

INSERT IGNORE INTO version (table_name, table_version) VALUES ('dispatcher', 9);
