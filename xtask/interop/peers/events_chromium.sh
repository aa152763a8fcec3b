#!/usr/bin/env bash
# Chromium: `events_chromium.sh FOLDER ADDRESS` loads a page whose EventSource reads the events, and prints the log of
# the page.
folder=$1 address=$2
# Chromium's sandbox does not work for root. The kernel kills Chromium when this script ends.
exec {log}< <(exec setpriv --pdeathsig KILL chromium --headless --no-sandbox --no-proxy-server --enable-logging=stderr \
  --user-data-dir="$folder/chromium" "http://$address/" 2>&1)
chromium=$!
while read -r -t 50 -u "$log" line; do
  if [[ $line =~ CONSOLE[^\"]*\"(.*)\",\ source: ]]; then
    echo "${BASH_REMATCH[1]}"
    if [ "${BASH_REMATCH[1]}" = end ]; then break; fi
  fi
done
kill "$chromium"
