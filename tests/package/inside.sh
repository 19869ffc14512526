#!/bin/bash
# What tests/package/run.sh does in the fresh Debian, as root. A command that fails ends it.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_COLORS=0 SYSTEMD_PAGER=cat COLUMNS=150

step() { printf '\n===== %s\n' "$*"; }
say() { printf '\n$ %s\n' "$*"; "$@"; }
fail() { printf 'FAILED: %s\n' "$*"; exit 1; }
daemon_runs() { cat /proc/[0-9]*/comm 2>/dev/null | grep -qx aioconnectorsd; }
wait_link() { # Until the client says that it is connected.
    for _ in $(seq 300); do
        systemctl show -p StatusText --value aioconnectorsd@client | grep -q 'Serving, connected' && return
        sleep 0.1
    done
    systemctl show -p StatusText aioconnectorsd@client
    fail "the client is not connected"
}
as_joe() { runuser -u joe -- "$@"; }
trap 'echo "FAILED in line $LINENO"; journalctl -q --no-pager -u "aioconnectorsd@*" | tail -40' ERR

step "a new user installs the package"
say dpkg -i /trial/old.deb
say id aioconnectors
say ls -ld /etc/aioconnectors /var/lib/aioconnectors /usr/share/doc/aioconnectors/examples
say aioconnectorsd --version
say dpkg -L aioconnectors

step "sets up a server and a client, as the README says"
cd /tmp
examples=/usr/share/doc/aioconnectors/examples
say cp $examples/server.json /etc/aioconnectors/
say runuser -u aioconnectors -- aioconnectorsctl create-certificates /var/lib/aioconnectors/server
say systemctl enable --now aioconnectorsd@server
say tar -C /var/lib/aioconnectors/server -cf client.tar certificates/client
sed 's/server.example.org/127.0.0.1/' $examples/client.json >/etc/aioconnectors/client.json
say runuser -u aioconnectors -- mkdir /var/lib/aioconnectors/client
say runuser -u aioconnectors -- tar -C /var/lib/aioconnectors/client -xf - <client.tar
say systemctl enable --now aioconnectorsd@client
useradd --groups aioconnectors joe
wait_link
say systemctl --no-pager --lines 5 status aioconnectorsd@server aioconnectorsd@client
say ls -la /var/lib/aioconnectors/client

step "a program of another user, of the group, sends and receives"
as_joe aioconnectorsctl receive /etc/aioconnectors/server.json any --ack --lines --count 1 >/tmp/got &
receiver=$!
say as_joe aioconnectorsctl send /etc/aioconnectors/client.json any hello --receipt delivered
wait $receiver
grep -qx hello /tmp/got || fail "hello did not come"
echo "received: $(cat /tmp/got)"

step "looks at them, and changes who may come in"
say aioconnectorsctl connectors
say aioconnectorsctl status --name server
say as_joe aioconnectorsctl peers --name client
say aioconnectorsctl blacklist add 203.0.113.9 --name server || echo "exit code $?"
say aioconnectorsctl blacklist list --name server
say systemctl reload aioconnectorsd@server

step "restarts"
say systemctl restart aioconnectorsd@server aioconnectorsd@client
say as_joe aioconnectorsctl send /etc/aioconnectors/client.json any again --receipt delivered
as_joe aioconnectorsctl receive /etc/aioconnectors/server.json any --ack --lines --count 1 --timeout 30 >/tmp/got
grep -qx again /tmp/got || fail "'again' did not come: $(cat /tmp/got)"
echo "received: $(cat /tmp/got)"

step "upgrades, with queues full: nobody receives, so a program sends until it may not"
for name in server client; do
    sed -i 's/^{/{\n    "max_size_persistence_path": 131072,/' /etc/aioconnectors/$name.json
done
say systemctl restart aioconnectorsd@server aioconnectorsd@client
wait_link
# Both queues fill, the server's towards its program and the client's towards the server, until a receipt does not come.
seq 100000 | as_joe aioconnectorsctl send /etc/aioconnectors/client.json any - --lines --receipt stored --timeout 3 \
    >/tmp/sent || echo "the sender gave up with exit code $?, as its queue is full"
sed -n 's/.*"id":\([0-9]*\),"level":"stored".*/\1/p' /tmp/sent >/tmp/stored
echo "stored by receipt: $(wc -l </tmp/stored)"
[ "$(wc -l </tmp/stored)" -gt 1000 ] || fail "so few were stored"
du -k /var/lib/aioconnectors/*/spool_*/*.ring
before=$(systemctl show -p MainPID --value aioconnectorsd@server aioconnectorsd@client | tr '\n' ' ')
say dpkg -i /trial/new.deb
after=$(systemctl show -p MainPID --value aioconnectorsd@server aioconnectorsd@client | tr '\n' ' ')
echo "processes before: $before after: $after"
[ "$before" != "$after" ] || fail "they were not restarted"
say aioconnectorsd --version
say journalctl -q --no-pager -o cat -u 'aioconnectorsd@*' -g ' runs: version' -n 2
as_joe aioconnectorsctl receive /etc/aioconnectors/server.json any --ack --lines --timeout 5 >/tmp/got || true
echo "received: $(wc -l </tmp/got), the first $(head -1 /tmp/got), the last $(tail -1 /tmp/got)"
grep -Fxv -f /tmp/got /tmp/stored | head && fail "these have a receipt and did not come"
sort -n -c -u /tmp/got || fail "out of order, or twice"
systemctl is-active --quiet aioconnectorsd@server aioconnectorsd@client || fail "they do not run"

step "removes: the programs stop, what they have stored stays"
say as_joe aioconnectorsctl send /etc/aioconnectors/client.json any kept --receipt delivered
say dpkg -r aioconnectors
! daemon_runs || fail "a daemon runs"
[ ! -e /usr/bin/aioconnectorsd ] || fail "a program stays"
say ls /etc/aioconnectors /var/lib/aioconnectors/server

step "installs again: what was stored is there"
say dpkg -i /trial/new.deb
say systemctl start aioconnectorsd@server aioconnectorsd@client
as_joe aioconnectorsctl receive /etc/aioconnectors/server.json any --ack --lines --count 1 --timeout 30 >/tmp/got
grep -qx kept /tmp/got || fail "'kept' did not come: $(cat /tmp/got)"
echo "received: $(cat /tmp/got)"

step "purges: nothing stays but the user"
say dpkg -P aioconnectors
for left in /etc/aioconnectors /var/lib/aioconnectors /usr/bin/aioconnectorsd /usr/share/doc/aioconnectors \
    /etc/systemd/system/multi-user.target.wants/aioconnectorsd@server.service; do
    [ ! -e $left ] && [ ! -L $left ] || fail "$left is still there"
done
! daemon_runs || fail "a daemon runs"
say systemctl --no-pager --failed

touch /trial/passed
step "all is well"
