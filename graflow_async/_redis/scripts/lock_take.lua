--# include lock
-- ARGV: 5 whether to wait in the queue
-- Answers {1, fence} to the holder, else {0, microseconds until the lease of the holder ends}

local held = call('HMGET', LOCK, 'holder', 'until', 'fence')
if held[1] == WHO then
  call('HSET', LOCK, 'until', text(now + LEASE))
  keep()
  return { 1, tonumber(held[3]) }
end
local is_free = not held[1] or tonumber(held[2]) <= now
local first = next_waiter()
if is_free and (not first or first == WHO) then
  local fence = grant(WHO)
  keep()
  return { 1, fence }
end
if is_free then
  hand_over(first)
end
if ARGV[5] == '1' then
  call('ZADD', QUEUE, 'NX', text(now), WHO)
  call('HSET', ALIVE, WHO, text(now + LEASE))
end
keep()
return { 0, math.max(tonumber(call('HGET', LOCK, 'until')) - now, 0) }
