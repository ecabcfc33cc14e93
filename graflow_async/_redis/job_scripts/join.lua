-- worker, lease ms, info -> ms until a lease ends. Puts the worker on the roll and wakes whoever waits for one.
local me = ARGV[3]
may_write_when_full()
redis.pcall('XGROUP', 'CREATE', S, G, '0', 'MKSTREAM')
redis.call('ZADD', ROLL, NOW + tonumber(ARGV[4]), me)
redis.call('HSET', INFO, me, ARGV[5])
redis.call('XADD', P .. 'wake', 'MAXLEN', 1, '*', 'w', me)
for _, key in ipairs({S, ROLL, INFO, P .. 'wake'}) do redis.call('EXPIRE', key, KEEP) end
return next_lease_end(me)
