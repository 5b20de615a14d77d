-- Record that a holder's lock stands, unless a change has just lifted it.
--
-- KEYS[1] the holder's lock key    ARGV[1] the lock, as Postgres has it
--                                  ARGV[2] how long to keep it, in milliseconds
-- Returns 1, or 0 if the key says that the PIN is open. Then the caller may have read Postgres before the change.
if redis.call('GET', KEYS[1]) == 'open' then
    return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
