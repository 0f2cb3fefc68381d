-- For wrk: the clicks of a file of sessions, one request per click, in their order. FORM is a path with SESSION and ITEM in it.
local requests = {}
for line in io.lines(os.getenv("SESSIONS")) do
  local session, item = line:match("^(%d+)\t(%d+)\t")
  if session then
    local path = os.getenv("FORM"):gsub("SESSION", session):gsub("ITEM", item)
    requests[#requests + 1] = wrk.format("GET", path)
  end
end

local at = 0
request = function()
  at = at % #requests + 1
  return requests[at]
end

done = function(summary, latency, _)
  local errors = summary.errors
  io.write(string.format("%8.0f requests/s   p50 %6.2f ms   p90 %6.2f ms   p99 %6.2f ms   %d errors\n",
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1e3, latency:percentile(90) / 1e3,
    latency:percentile(99) / 1e3, errors.status + errors.connect + errors.read + errors.timeout))
end
