#!/usr/bin/env bash
# ab: `ab_client.sh ADDRESS` sends requests of HTTP/1.0 to our server, over one connection.
said=$(ab -k -n 100 "http://$1/hello" 2>/dev/null) || exit
for count in 'Complete requests:  *100' 'Failed requests:  *0' 'Keep-Alive requests:  *100'; do
  if ! grep --quiet "^$count\$" <<<"$said"; then echo "there is no '$count' in: $said" >&2 && exit 1; fi
done
if grep '^Non-2xx' <<<"$said" >&2; then exit 1; fi
echo '100 requests of HTTP/1.0 over one connection, each answered with 200'
