#!/usr/bin/env bash
# curl: `events_curl.sh ADDRESS` reads the events, and prints a line for each. It repeats the request, for the events after the
# last received event, until there are no more.
address=$1 status='' id='' data=''
until [ "$status" = 204 ]; do
  # The server ends each response early, except the last one. So curl fails, which is expected.
  response=$(curl --disable --silent --no-buffer --noproxy '*' --max-time 30 --header "last-event-id: $id" \
    --write-out '\n%{http_code}\n' "http://$address/events")
  status=${response##*$'\n'}
  if [ "$status" != 200 ] && [ "$status" != 204 ]; then echo "status $status" && exit 1; fi
  while read -r field value; do
    case $field in
      id:) id=$value ;;
      data:) data+=" $value" ;;
      '') if [ -n "$data" ]; then echo "$id$data" && data=''; fi ;;
    esac
  done <<<"$response"
done
echo end
