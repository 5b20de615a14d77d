-- Store a session, and add it to the list of its holder. If the holder then has too many sessions, end the ones that expire first.
--
-- KEYS[1] the session's key    ARGV[1] the session
-- KEYS[2] the holder's list    ARGV[2] how long to keep the session, in milliseconds
--                              ARGV[3] how many sessions the holder may have
--
-- The list is a sorted set of session keys. The score of a key is the time when the session expires, by the clock of this Redis
-- server. The script removes expired sessions from the list. The list expires together with its last session.
local now = redis.call('TIME')
local at = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', at)
redis.call('ZREM', KEYS[2], KEYS[1]) -- a session that is stored again
local surplus = redis.call('ZCARD', KEYS[2]) + 1 - ARGV[3]
if surplus > 0 then
    for _, key in ipairs(redis.call('ZRANGE', KEYS[2], 0, surplus - 1)) do
        redis.call('DEL', key) -- it has the hash tag of the holder
    end
    redis.call('ZREMRANGEBYRANK', KEYS[2], 0, surplus - 1)
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZADD', KEYS[2], at + ARGV[2], KEYS[1])
redis.call('PEXPIREAT', KEYS[2], redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')[2])
return 1
