-- Count one attempt of a holder, unless a lock is mirrored here that the caller cannot have seen in Postgres yet.
--
-- KEYS[1] the holder's counters    ARGV[1] number of the last charge that Postgres showed the caller
--                                  ARGV[2] how long to keep the counters, in milliseconds
-- Returns {count, 0}, or {0, lock's end in unix milliseconds}.
--
-- A mirrored lock carries the number of the charge that wrote it. When that is not above ARGV[1], Postgres has already
-- judged the lock (it ended, or an admin lifted it) and the mirror is only old: it is passed over. So a mirror that was
-- never cleaned up can hold nobody out.
local lock = redis.call('HMGET', KEYS[1], 'locked_by', 'locked_until')
if lock[1] and tonumber(lock[1]) > tonumber(ARGV[1]) then
    return {0, tonumber(lock[2])}
end
local count = redis.call('HINCRBY', KEYS[1], 'count', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {count, 0}
