-- graflow lock, version 1: what its scripts share.
-- KEYS: 1 lock (hash: holder, until, fence), 2 queue (sorted set: who waits -> when they came),
--       3 alive (hash: who waits -> until when they count, in microseconds since the epoch)
-- ARGV: 1 who asks, 2 microseconds of a lease, 3 name of the channel of a client, to which its name is added,
--       4 milliseconds that the keys stay

local LOCK, QUEUE, ALIVE = KEYS[1], KEYS[2], KEYS[3]
local WHO, LEASE = ARGV[1], tonumber(ARGV[2])
local call = redis.call
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function text(number)
  return string.format('%.0f', number)
end

local function leave(who)
  call('ZREM', QUEUE, who)
  call('HDEL', ALIVE, who)
end

-- Who has waited longest; whoever gave no sign of life is dropped.
local function next_waiter()
  while true do
    local who = call('ZRANGE', QUEUE, 0, 0)[1]
    if not who then
      return nil
    end
    if tonumber(call('HGET', ALIVE, who) or 0) > now then
      return who
    end
    leave(who)
  end
end

-- Give the lock to somebody. The fence grows also if the last one was forgotten: then by the clock.
local function grant(who)
  leave(who)
  local fence = math.max(tonumber(call('HGET', LOCK, 'fence') or 0) + 1, now)
  call('HSET', LOCK, 'holder', who, 'until', text(now + LEASE), 'fence', text(fence))
  return fence
end

local function hand_over(who)
  grant(who)
  call('PUBLISH', ARGV[3] .. string.match(who, '^[^:]*'), who)
end

local function keep()
  for number = 1, 3 do
    call('PEXPIRE', KEYS[number], ARGV[4])
  end
end
