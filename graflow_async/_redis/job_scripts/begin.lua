-- worker, nonce, lease ms, how many to read, entry... -> {ms until a lease ends, {claim...}}; a claim is its entry, run
-- and job, payload, 'fence tries crashes alone' and flags.
-- Begins entries that the worker has read, then reads and begins more. With AGAIN it looks first through all that was
-- handed to the worker: what the same nonce has begun is answered again, what was read and not begun is begun.
local me, nonce, lease, count = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local claims = {}

local front
local first_about = THIS_MICRO .. ' 1 0 0'

-- Begins what was never begun before, as nearly every job: not more is known of it than this.
local function begin_first(entry, ref, payload, flags)
  local map = flags and '\135' or '\134'
  if not front then
    front = '\161s\167running\161f' .. text(THIS_MICRO) .. '\161n' .. text(nonce) .. '\161o' .. text(me) .. '\161t\1\161e'
  end
  keep_change(changed, ref, map .. front .. text(entry) .. (flags and '\161x' .. text(flags) or ''))
  claims[#claims + 1] = {entry, ref, payload, first_about, flags or ''}
end

local function begin(entry, ref, payload, job)
  if not job or job.e ~= entry or ENDED[job.s] then
    drop_entry(entry)
    return
  elseif job.s == 'running' then
    if job.o ~= me then give_to_owner(job) end
    if job.o ~= me or job.n ~= nonce then return end
  elseif not (job.f or job.t or job.c or job.k) then
    return begin_first(entry, ref, payload, job.x)
  else
    job.s, job.f, job.n, job.o, job.t = 'running', next_fence(job.f), nonce, me, (job.t or 0) + 1
    job.d, job.r, job.l = nil, nil, (job.c or 0) >= 2 or nil
    save(ref, job)
  end
  local about = job.f .. ' ' .. job.t .. ' ' .. (job.c or 0) .. (job.l and ' 1' or ' 0')
  claims[#claims + 1] = {entry, ref, payload, about, job.x or ''}
end

may_write_when_full()
if not is_alive(me) then redis.call('ZADD', ROLL, NOW + lease, me) end
if AGAIN or #ARGV > 6 then
  local asked = {}
  for i = 7, #ARGV do asked[ARGV[i]] = true end
  -- Begun or not, everything that is handed to one worker is as much as it runs at once: this list is short.
  for _, row in ipairs(redis.call('XPENDING', S, G, '-', '+', 10000, me)) do
    if AGAIN or asked[row[1]] then
      local ref, job, payload = look_up(row[1])
      -- The caller has the payload of what it names.
      if ref then begin(row[1], ref, asked[row[1]] and '' or payload, job) end
    end
  end
end
if count > #claims then
  local streams = redis.call('XREADGROUP', 'GROUP', G, me, 'COUNT', count - #claims, 'STREAMS', S, '>')
  if streams then
    local rows, refs = streams[1][2], {}
    for i, row in ipairs(rows) do refs[i] = row[2][2] end
    local jobs = load_jobs(refs)
    for i, row in ipairs(rows) do begin(row[1], refs[i], row[2][4], jobs[refs[i]]) end
  end
end
write()
return {next_lease_end(me), claims}
