-- Counts one attempt of a holder, or reports a lock that is newer than the state that the caller read from Postgres.
--
-- KEYS[1] the holder's counters    ARGV[1] the number of the last charge that the caller read from Postgres
--                                  ARGV[2] the lifetime of the counters in milliseconds
-- Returns {count, 0}, or {0, the end of the lock in Unix milliseconds}.
--
-- locked_by is the number of the charge that wrote the lock. If it is at most ARGV[1], the caller has read the effect of that
-- charge from Postgres, so the copy of the lock here is old and is ignored. An old copy therefore refuses no attempt.
local lock = redis.call('HMGET', KEYS[1], 'locked_by', 'locked_until')
if lock[1] and tonumber(lock[1]) > tonumber(ARGV[1]) then
    return {0, tonumber(lock[2])}
end
local count = redis.call('HINCRBY', KEYS[1], 'count', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {count, 0}
