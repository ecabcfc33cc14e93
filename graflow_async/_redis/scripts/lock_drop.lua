--# include lock
-- Gives the lock back, or leaves the queue. Answers whether the lock was held.

leave(WHO)
if call('HGET', LOCK, 'holder') ~= WHO then
  return 0
end
call('HDEL', LOCK, 'holder', 'until')
local heir = next_waiter()
if heir then
  hand_over(heir)
end
keep()
return 1
