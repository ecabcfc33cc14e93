-- In front of every script. KEYS[1] is the stream of jobs; ARGV[1] the seconds that keys last; ARGV[2] is 1 when the
-- same words may have been carried out before. All other keys have the prefix of KEYS[1], hence the same slot.
-- Redis refuses a script without memory only at its first write, and lets freeing commands through: whatever must
-- work with a full memory begins with `may_write_when_full`.
--
-- What is true of a job stands in one field of its run's hash, as a packed map:
--   s state, e entry, f fence, n nonce, o owner, t tries, c crashes, a their weight when alone, l runs alone, x flags,
--   k to be cancelled, d last message heard, r last message told, y story of its deaths
local S = KEYS[1]
local P = string.sub(S, 1, -2)
local G = 'g'
local KEEP = ARGV[1]
local AGAIN = ARGV[2] == '1'
local clock = redis.call('TIME')
local NOW = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local MICROS = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local ENDED = {done = true, failed = true, dead = true, cancelled = true}
local ROLL = P .. 'w'
local INFO = P .. 'wi'
local AT_ONCE = 500
local find, cut, packed, unpacked = string.find, string.sub, cmsgpack.pack, cmsgpack.unpack

local function may_write_when_full() redis.call('DEL', P .. '-') end

local function whole(number) return string.format('%.0f', number) end

-- Grows with every claim, and goes on growing after Redis has forgotten how far it was.
local THIS_MICRO = whole(MICROS)

local function next_fence(fence)
  local last = tonumber(fence) or 0
  return last < MICROS and THIS_MICRO or whole(last + 1)
end

local run_of, name_of = {}, {}
local last_run, last_front = '', ':'

-- Gives the run and the name of a job; most of a call's jobs are of one run.
local function halves(ref)
  local run = run_of[ref]
  if run then return run, name_of[ref] end
  if cut(ref, 1, #last_front) ~= last_front then
    last_run = cut(ref, 1, find(ref, ':', 1, true) - 1)
    last_front = last_run .. ':'
  end
  local name = cut(ref, #last_front + 1)
  run_of[ref], name_of[ref] = last_run, name
  return last_run, name
end

-- Calls for parts of a list, so that none has more arguments than the stack holds.
local function in_parts(list, call)
  for first = 1, #list, AT_ONCE do
    call(first, math.min(#list, first + AT_ONCE - 1))
  end
end

-- Puts the jobs of a run into a map, each under its key.
local function load_run(run, names, keys, found)
  local home = P .. 'j:' .. run
  in_parts(names, function(first, last)
    local rows = redis.call('HMGET', home, unpack(names, first, last))
    for i = 1, last - first + 1 do
      if rows[i] then found[keys[first + i - 1]] = unpacked(rows[i]) end
    end
  end)
  return found
end

-- Gives a map from each of these refs to its job, as far as there is one.
local function load_jobs(refs)
  local names_of, refs_of, found = {}, {}, {}
  for i = 1, #refs do
    local ref = refs[i]
    local run, name = halves(ref)
    local names = names_of[run]
    if not names then
      names = {}
      names_of[run], refs_of[run] = names, {}
    end
    local count = #names + 1
    names[count], refs_of[run][count] = name, ref
  end
  for run, names in pairs(names_of) do load_run(run, names, refs_of[run], found) end
  return found
end

-- What is to be written, by run: it goes out at the end, a run's jobs at once.
local changed, removed = {}, {}

local function keep_change(lists, ref, value)
  local run, name = halves(ref)
  local list = lists[run]
  if not list then
    list = {}
    lists[run] = list
  end
  list[#list + 1] = name
  if value then list[#list + 1] = value end
end

local function save(ref, job) keep_change(changed, ref, packed(job)) end

-- A text as part of a packed map: what stands in front of it depends on its length alone. A map that is put together
-- from parts which many jobs share costs a third of one that is packed.
local text_front = {}

local function text(value)
  local size = #value
  local front = text_front[size]
  if not front then
    front = size < 32 and string.char(160 + size) or cut(packed(value), 1, -size - 1)
    text_front[size] = front
  end
  return front .. value
end

local function remove(ref) keep_change(removed, ref) end

-- Of a job that has ended only what tells a repeated report from one that comes too late; jobs that were begun together
-- and have ended alike keep the same.
local end_of = {}

local function save_end(ref, job, state)
  if end_of.s ~= state or end_of.f ~= job.f or end_of.n ~= job.n then
    end_of = {s = state, f = job.f, n = job.n}
    end_of.packed = packed(end_of)
  end
  job.s = state
  keep_change(changed, ref, end_of.packed)
end

-- News go out as one entry per stream: a head, then its data, for each.
local news, news_for = {}, {}

local function news_of(stream)
  local fields = news[stream]
  if not fields then
    local kind = redis.call('TYPE', stream).ok
    if kind ~= 'none' and kind ~= 'stream' then error('WRONGTYPE ' .. stream .. ' is no stream') end
    fields = {}
    news[stream] = fields
  end
  return fields
end

local head_of, head = {}, ''

local function tell_driver(ref, kind, job, worker, data)
  local run, name = halves(ref)
  local fields = news_for[run]
  if not fields then
    fields = news_of(P .. 'ev:' .. run)
    news_for[run] = fields
  end
  local is_alike = head_of.f == job.f and head_of.t == job.t and head_of.c == job.c and head_of.kind == kind
  if not is_alike or head_of.worker ~= worker then
    head_of = {f = job.f, t = job.t, c = job.c, kind = kind, worker = worker}
    head = kind .. ' ' .. job.f .. ' ' .. job.t .. ' ' .. (job.c or 0) .. ' ' .. worker .. ' '
  end
  local count = #fields
  fields[count + 1], fields[count + 2] = head .. name, data
end

local function tell_worker(worker, kind, fence, ref, data)
  local fields = news_of(P .. 'in:' .. worker)
  fields[#fields + 1] = kind .. ' ' .. fence .. ' ' .. ref
  fields[#fields + 1] = data
end

local function write()
  for run, names in pairs(removed) do
    in_parts(names, function(first, last) redis.call('HDEL', P .. 'j:' .. run, unpack(names, first, last)) end)
  end
  for run, pairs_of_it in pairs(changed) do
    in_parts(pairs_of_it, function(first, last)
      redis.call('HSET', P .. 'j:' .. run, unpack(pairs_of_it, first, last))
    end)
    redis.call('EXPIRE', P .. 'j:' .. run, KEEP)
  end
  for stream, fields in pairs(news) do
    redis.call('XADD', stream, '*', unpack(fields))
    redis.call('EXPIRE', stream, KEEP)
  end
end

local function deposed(run, epoch)
  local known = redis.call('HGET', P .. 'own:' .. run, 'e')
  return known and tonumber(known) > tonumber(epoch)
end

local function is_alive(worker)
  local till = redis.call('ZSCORE', ROLL, worker)
  return till and tonumber(till) > NOW
end

-- Milliseconds until the first lease of another worker ends; -1 without one.
local function next_lease_end(me)
  local rows = redis.call('ZRANGE', ROLL, 0, 1, 'WITHSCORES')
  for i = 1, #rows, 2 do
    if rows[i] ~= me then return math.max(0, tonumber(rows[i + 1]) - NOW) end
  end
  return -1
end

local function drop_entry(entry)
  redis.call('XACK', S, G, entry)
  redis.call('XDEL', S, entry)
end

-- Gives the job and the payload of an entry; nil if it is gone.
local function open_entry(entry)
  local row = redis.call('XRANGE', S, entry, entry)[1]
  if row then return row[2][2], row[2][4] end
end

-- An entry of the group's list with its job; nil, and cleared away, if nobody needs it any more.
local function look_up(entry)
  local ref, payload = open_entry(entry)
  if not ref then
    redis.call('XACK', S, G, entry)
    return nil
  end
  local job = load_jobs({ref})[ref]
  if not job or job.e ~= entry or ENDED[job.s] then
    drop_entry(entry)
    return nil
  end
  return ref, job, payload
end

-- To the end of the stream again; without the payload only the driver can help, who finds the job missing.
local function put_back(ref, job)
  local _, payload = open_entry(job.e)
  drop_entry(job.e)
  if payload then
    job.s, job.e = 'queued', redis.call('XADD', S, '*', 'j', ref, 'p', payload)
    save(ref, job)
  else
    job.s = 'missing'
    remove(ref)
  end
end

-- The end of a job that was to be cancelled and has lost its worker.
local function end_cancelled(ref, job, worker)
  drop_entry(job.e)
  save_end(ref, job, 'cancelled')
  tell_driver(ref, 'c', job, worker, '')
end

-- Puts back what its worker does not know to have; whoever had it is fenced.
local function take_away(ref, job, worker)
  if job.k then
    end_cancelled(ref, job, worker)
  else
    job.f, job.n = next_fence(job.f), ''
    put_back(ref, job)
  end
end

-- The hash is right and the group is not: the entry belongs to whoever runs the job.
local function give_to_owner(job) redis.call('XCLAIM', S, G, job.o, 0, job.e, 'JUSTID') end

-- One more death under a job: counts it, and says whether that was the last one allowed. The caller saves.
-- Deaths in company prove nothing. Alone, that of the job's own process weighs 4; that of a whole worker weighs 1, as
-- machines also go for reasons of their own, and a long job lives through several of them.
local function blame(ref, job, worker, said, weight)
  job.c = (job.c or 0) + 1
  job.a = (job.a or 0) + (job.l and weight or 0)
  local line = whole(NOW) .. ' ' .. worker .. ' ' .. job.f .. ' ' .. (job.l and 'alone' or 'in company')
  job.y = (job.y or '') .. line .. ': ' .. said .. '\n'
  if job.a < 8 then
    tell_driver(ref, 'l', job, worker, said)
    return false
  end
  local _, payload = open_entry(job.e)
  drop_entry(job.e)
  redis.call('XADD', P .. 'dlq', '*', 'j', ref, 'p', payload or '', 'x', job.x or '', 'c', job.c, 'r', job.y)
  redis.call('EXPIRE', P .. 'dlq', math.max(tonumber(KEEP), 2592000))
  tell_driver(ref, 'x', job, worker, job.y)
  save_end(ref, job, 'dead')
  return true
end

-- Removes some of the jobs of a run, whatever their state, and gives how many are left.
local function remove_jobs(run)
  local key = P .. 'j:' .. run
  local rows = redis.call('HRANDFIELD', key, AT_ONCE, 'WITHVALUES')
  for i = 1, #rows, 2 do
    local job = cmsgpack.unpack(rows[i + 1])
    local ref = run .. ':' .. rows[i]
    if job.s == 'running' then tell_worker(job.o, 'c', job.f, ref, '') end
    if not ENDED[job.s] then drop_entry(job.e) end
    remove(ref)
  end
  write()
  return redis.call('HLEN', key)
end
