-- The three SIPp destinations of compose.yaml; run once, after mysql.sql, in an empty database.
INSERT INTO dispatcher (setid, destination) VALUES
  (1, 'sip:172.30.60.11:5060'), (1, 'sip:172.30.60.12:5060'), (1, 'sip:172.30.60.13:5060');
