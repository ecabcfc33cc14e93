-- What was done already: a client sends one operation at a time on a lane and counts them, so the last one is enough.
-- ARGV: 1 channel of changes, 2 milliseconds that the namespace stays, 3 lane, 4 number of the operation on it,
--       5 whether it was sent before

local CHANNEL, KEEP, LANE, NUMBER, AGAIN = ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
local REMEMBERED = 600000
local STALE = { -2 }

-- The answer that this operation got, STALE if a later one was done instead, or nil.
local function answered()
  local raw = call('HGET', KEYS[7], LANE)
  if not raw then
    return nil
  end
  local done = cmsgpack.unpack(raw)
  if done[1] == NUMBER then
    return done[2]
  end
  return done[1] > NUMBER and STALE or nil
end

-- Remember an answer. One that tells of no change need not be, unless the same operation may still be on its way.
local function answer(reply, is_change)
  if is_change or AGAIN then
    call('HSET', KEYS[7], LANE, cmsgpack.pack({ NUMBER, reply }))
    call('PEXPIRE', KEYS[7], REMEMBERED)
  end
  if is_change then
    keep(KEEP)
  end
  return reply
end
