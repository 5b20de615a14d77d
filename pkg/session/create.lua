-- Store a session, and list it among its holder's.
--
-- KEYS[1] the session's key    ARGV[1] the session
-- KEYS[2] the holder's list    ARGV[2] how long to keep it, in milliseconds
--
-- The list is a sorted set of keys by when they end, by this server's clock. Those that have ended are taken off, and
-- the list lives as long as its last one.
local now = redis.call('TIME')
local at = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', at)
redis.call('ZADD', KEYS[2], at + ARGV[2], KEYS[1])
redis.call('PEXPIREAT', KEYS[2], redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')[2])
return 1
