--# include kv
-- ARGV: 1 channel of changes, 2 milliseconds that the namespace stays, 3 how many keys to drop at most
-- Answers {revision, microseconds until the next key is up or -1}

expire(ARGV[1], tonumber(ARGV[3]))
keep(tonumber(ARGV[2]))
local soonest = call('ZRANGE', DEADLINES, 0, 0, 'WITHSCORES')
local due = soonest[2] and math.max(tonumber(soonest[2]) - now, 0) or -1
return { tonumber(call('GET', REVISION) or 0), due }
