--# include kv
--# include kv_op
-- ARGV: 6 verb, 7 key, 8 bytes, 9 length of the list in them or -1, 10 microseconds to live or '',
--       11 the revision that the key must have, 0 for none, '' for any
-- Answers: {1, length}, {0} if the key is not as expected, {-1} if it holds no list, {-2} if a later operation was done

local verb, key, data, size, ttl, expected = ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9]), ARGV[10], ARGV[11]

-- Give the entry its deadline; true if the key is up at once.
local function set_deadline(entry)
  if ttl ~= '' then
    local wanted = tonumber(ttl)
    if wanted <= 0 then
      return true
    end
    entry[DEADLINE] = now + wanted
    call('ZADD', DEADLINES, text(entry[DEADLINE]), key)
  elseif verb == 'set' and entry[DEADLINE] > 0 then
    entry[DEADLINE] = 0
    call('ZREM', DEADLINES, key)
  end
  return false
end

local function finish(entry, before)
  local is_up = set_deadline(entry)
  store(key, entry)
  call('ZADD', INDEX, 0, key)
  tell_value(CHANNEL, key, entry, before)
  if is_up then
    remove(CHANNEL, key, entry, 'expire')
  end
end

local function replace(entry)
  -- The bytes first: if the server is full, this is what it refuses, and nothing has changed.
  call('HSET', VALUES, key, data)
  local before, revision = next_revision()
  local deadline = 0
  if entry then
    remove_items(entry)
    deadline = entry[DEADLINE]
  end
  if size == 0 then
    call('HDEL', VALUES, key)
  end
  finish({ revision, deadline, size, revision, 0, 0 }, before)
  return { 1 }
end

local function extend(entry)
  local id = entry and entry[ID] or math.max(tonumber(call('GET', REVISION) or 0) + 1, now)
  local place = 0
  if entry then
    place = verb == 'append' and entry[BEHIND] or entry[FIRST] - 1
  elseif verb == 'prepend' then
    place = -1
  end
  call('HSET', ITEMS, text(id) .. ':' .. text(place), data)
  local before, revision = next_revision()
  entry = entry or { revision, 0, 0, id, 0, 0 }
  entry[REV] = revision
  entry[FIRST] = math.min(entry[FIRST], place)
  entry[BEHIND] = math.max(entry[BEHIND], place + 1)
  finish(entry, before)
  return { 1, entry[SIZE] + entry[BEHIND] - entry[FIRST] }
end

local function act(entry)
  if expected ~= '' and tonumber(expected) ~= (entry and entry[REV] or 0) then
    return { 0 }, false
  end
  if verb == 'delete' then
    if entry then
      remove(CHANNEL, key, entry, 'delete')
    end
    return { entry and 1 or 0 }, entry ~= nil
  elseif verb == 'pop' then
    if not entry then
      return { 0 }, false
    end
    local base = entry[SIZE] ~= 0 and call('HGET', VALUES, key)
    local found = { 1, entry[SIZE], entry[FIRST], base, items(entry, entry[FIRST], entry[BEHIND]) }
    remove(CHANNEL, key, entry, 'delete')
    return found, true
  elseif verb == 'set' or verb == 'keep' then
    return replace(entry), true
  elseif entry and entry[SIZE] < 0 then
    return { -1 }, false
  end
  return extend(entry), true
end

local before = answered()
if before then
  return before
end
local entry, is_due = find(key)
local swept = 0
-- Under a full server a change must be refused as a whole, so nothing is swept before the first write of a growing one.
local shrinks = verb == 'delete' or verb == 'pop'
if is_due and shrinks then
  remove(CHANNEL, key, entry, 'expire')
  return answer({ 0 }, true)
end
if is_due then
  remove(CHANNEL, key, entry, 'expire')
  entry = nil
  swept = 1
end
local reply, is_change = act(entry)
if is_change then
  expire(CHANNEL, 8)
end
return answer(reply, is_change or swept > 0)
