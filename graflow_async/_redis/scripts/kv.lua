-- graflow key-value namespace, version 1: what its scripts share.
-- KEYS: 1 meta (hash: key -> entry), 2 values (hash: key -> bytes), 3 items (hash: list id and place -> bytes),
--       4 index (sorted set of all keys, score 0), 5 deadlines (sorted set: key -> microseconds since the epoch),
--       6 revision (a number that only grows), 7 operations of one client (hash: lane -> number and answer)
-- An entry is {revision, deadline or 0, length of a list that was set as a whole or -1 for another value,
-- id, first place, place behind the last}. A list is what was set as a whole, with the items of the places below 0 in
-- front of it and those from 0 on behind it. An item of an id and a place never changes.

local META, VALUES, ITEMS, INDEX, DEADLINES, REVISION = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local call = redis.call
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]
local SMALL, FEW, BATCH = 65536, 64, 500
local REV, DEADLINE, SIZE, ID, FIRST, BEHIND = 1, 2, 3, 4, 5, 6

local function text(number)
  return string.format('%.0f', number)
end

-- The entry of a key, and whether its time is up.
local function find(key)
  local raw = call('HGET', META, key)
  if not raw then
    return nil, false
  end
  local entry = cmsgpack.unpack(raw)
  return entry, entry[DEADLINE] > 0 and entry[DEADLINE] <= now
end

-- Call fn with the fields of items, some at a time.
local function by_batches(entry, first, behind, fn)
  local prefix = text(entry[ID]) .. ':'
  local place = first
  while place < behind do
    local fields = {}
    for at = place, math.min(place + BATCH, behind) - 1 do
      fields[#fields + 1] = prefix .. text(at)
    end
    fn(fields)
    place = place + BATCH
  end
end

local function items(entry, first, behind)
  local found = {}
  by_batches(entry, first, behind, function(fields)
    for _, item in ipairs(call('HMGET', ITEMS, unpack(fields))) do
      found[#found + 1] = item
    end
  end)
  return found
end

-- Take the next revision; one that was ever given is not given again, even if this counter was lost.
local function next_revision()
  local before = tonumber(call('GET', REVISION) or 0)
  local revision = math.max(before + 1, now)
  call('SET', REVISION, text(revision), 'KEEPTTL')
  return before, revision
end

-- Say what happened, if anyone listens: "kind before revision due keysize numbers...\n" key, bytes...
-- Called after the change is written: a message is no write, and would not keep a full server from refusing the next.
local function tell(channel, kind, key, before, revision, numbers, parts)
  if call('PUBLISH', channel, '') == 0 then
    return
  end
  local soonest = call('ZRANGE', DEADLINES, 0, 0, 'WITHSCORES')
  local due = soonest[2] and math.max(tonumber(soonest[2]) - now, 0) or -1
  local head = { kind, text(before), text(revision), text(due), #key }
  for _, number in ipairs(numbers or {}) do
    head[#head + 1] = text(number)
  end
  call('PUBLISH', channel, table.concat(head, ' ') .. '\n' .. key .. table.concat(parts or {}))
end

-- Tell of a value: with its bytes, or, where they are many, with what it takes to read them later.
local function tell_value(channel, key, entry, before)
  local numbers = { entry[SIZE], entry[ID], entry[FIRST], entry[BEHIND] }
  local count = entry[BEHIND] - entry[FIRST]
  local has_base = entry[SIZE] ~= 0
  if count > FEW or (has_base and call('HSTRLEN', VALUES, key) > SMALL) then
    tell(channel, 'refer', key, before, entry[REV], numbers)
    return
  end
  local parts, size = {}, 0
  if has_base then
    parts[1] = call('HGET', VALUES, key)
  end
  for _, item in ipairs(items(entry, entry[FIRST], entry[BEHIND])) do
    parts[#parts + 1] = item
  end
  for _, part in ipairs(parts) do
    numbers[#numbers + 1] = #part
    size = size + #part
  end
  if size > SMALL then
    tell(channel, 'refer', key, before, entry[REV], { unpack(numbers, 1, 4) })
  else
    tell(channel, 'set', key, before, entry[REV], numbers, parts)
  end
end

local function store(key, entry)
  call('HSET', META, key, cmsgpack.pack(entry))
end

local function remove_items(entry)
  by_batches(entry, entry[FIRST], entry[BEHIND], function(fields)
    call('HDEL', ITEMS, unpack(fields))
  end)
end

local function remove(channel, key, entry, kind)
  -- Removing first: a full server allows that, and then also what comes after it in the same script.
  call('HDEL', META, key)
  call('HDEL', VALUES, key)
  remove_items(entry)
  call('ZREM', INDEX, key)
  if entry[DEADLINE] > 0 then
    call('ZREM', DEADLINES, key)
  end
  local before, revision = next_revision()
  tell(channel, kind, key, before, revision)
end

-- Drop keys whose time is up, at most limit of them.
local function expire(channel, limit)
  local due = call('ZRANGEBYSCORE', DEADLINES, '-inf', text(now), 'LIMIT', 0, limit)
  for _, key in ipairs(due) do
    local entry = find(key)
    if entry then
      remove(channel, key, entry, 'expire')
    else
      call('ZREM', DEADLINES, key)
    end
  end
  return #due
end

-- Let the namespace live for a while from now, and as long as any of its keys was told to.
local function keep(milliseconds)
  if milliseconds <= 0 then
    return
  end
  local at = math.floor(now / 1000) + milliseconds
  local last = call('ZREVRANGE', DEADLINES, 0, 0, 'WITHSCORES')
  if last[2] then
    at = math.max(at, math.ceil(tonumber(last[2]) / 1000))
  end
  for number = 1, 6 do
    call('PEXPIREAT', KEYS[number], text(at))
  end
end
