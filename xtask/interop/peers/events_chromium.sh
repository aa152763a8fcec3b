#!/usr/bin/env bash
# Chromium: `events_chromium.sh URL PROFILE` shows a page whose EventSource reads the feed, and prints what the page logs.
url=$1 profile=$2
# Its sandbox does not run as root, and the page is ours. The kernel ends it when this script is gone.
exec {log}< <(exec setpriv --pdeathsig KILL chromium --headless --no-sandbox --no-proxy-server --enable-logging=stderr \
  --user-data-dir="$profile" "$url/" 2>&1)
chromium=$!
while read -r -t 50 -u "$log" line; do
  if [[ $line =~ CONSOLE[^\"]*\"(.*)\",\ source: ]]; then
    echo "${BASH_REMATCH[1]}"
    if [ "${BASH_REMATCH[1]}" = end ]; then break; fi
  fi
done
kill "$chromium"
