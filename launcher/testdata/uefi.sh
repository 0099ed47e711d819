#!/bin/bash
# VM web at 10.254.254.2: what "kvmrun start" does, by hand. Run it as root.
# It returns when the VM has ended, and undoes what it did.
# Not for a host with other VMs of kvmrun's or of such scripts: it counts on
# being the only one that changes the uplink, and takes back what they need.
# shellcheck disable=SC2016,SC2034 # what undo holds is expanded when it is run
set -eu
undo=()
finish() {
    set +e
    trap '' INT TERM HUP
    for ((n = ${#undo[@]} - 1; n >= 0; n--)); do eval "${undo[n]}"; done
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# a folder for sockets and the console's log, which QEMU's own user may write
mkdir -m 0700 /run/kvmrun-by-hand-web
chown 1890000001:1890000001 /run/kvmrun-by-hand-web
undo+=('rm -r /run/kvmrun-by-hand-web')

# tap kr-web
ip tuntap add dev kr-web mode tap user 1890000001 group 1890000001 vnet_hdr
ip link set dev kr-web group 21076 alias 'kvmrun web 6f0d5b6e-4f0e-4c1c-9f0b-7a6a5e0c1d2e'
undo+=('ip link delete dev kr-web')

# settings of kr-web
test ! -e /proc/sys/net/ipv6 || sysctl -q -w net.ipv6.conf.kr-web.disable_ipv6=1
sysctl -q -w net.ipv4.conf.kr-web.forwarding=1
sysctl -q -w net.ipv4.conf.kr-web.rp_filter=1
sysctl -q -w net.ipv4.conf.kr-web.proxy_arp=1
sysctl -q -w net.ipv4.neigh.kr-web.proxy_delay=0
ip link set dev kr-web mtu 1500 up

# address 10.254.254.1 on kr-web
ip address add 10.254.254.1/32 dev kr-web scope link noprefixroute

# route to 10.254.254.2 by kr-web
ip route add 10.254.254.2/32 dev kr-web proto 82 scope link src 10.254.254.1

# neighbour 10.254.254.2 on kr-web
ip neighbour add 10.254.254.2 lladdr 52:54:0a:fe:fe:02 nud permanent dev kr-web

# sysctl net.ipv4.conf.eth0.forwarding
old_forwarding=$(sysctl -n net.ipv4.conf.eth0.forwarding)
sysctl -q -w net.ipv4.conf.eth0.forwarding=1
undo+=('sysctl -q -w net.ipv4.conf.eth0.forwarding="$old_forwarding"')

# sysctl net.ipv4.neigh.eth0.proxy_delay
old_proxy_delay=$(sysctl -n net.ipv4.neigh.eth0.proxy_delay)
sysctl -q -w net.ipv4.neigh.eth0.proxy_delay=0
undo+=('sysctl -q -w net.ipv4.neigh.eth0.proxy_delay="$old_proxy_delay"')

# proxy ARP for 10.254.254.2 on eth0
ip neighbour add proxy 10.254.254.2 dev eth0 nud permanent protocol 82
undo+=('ip neighbour delete proxy 10.254.254.2 dev eth0')

# address 10.254.254.1 on eth0
ip address add 10.254.254.1/32 dev eth0 label eth0:0 metric 21076
undo+=('ip address delete 10.254.254.1/32 dev eth0')

# the files that QEMU gets as open descriptors
exec 20<>/srv/web.qcow2
cp /usr/share/vars.qcow2 /run/kvmrun-by-hand-web/uefi-vars
exec 21</usr/share/code.fd
exec 22<>/run/kvmrun-by-hand-web/uefi-vars
rm /run/kvmrun-by-hand-web/uefi-vars
mkfifo -m 0600 /run/kvmrun-by-hand-web/agent.in /run/kvmrun-by-hand-web/agent.out && chown 1890000001:1890000001 /run/kvmrun-by-hand-web/agent.in /run/kvmrun-by-hand-web/agent.out

# a TPM, which is new each time
mkdir -m 0700 /run/kvmrun-by-hand-web/tpm && chown --reference=/run/kvmrun-by-hand-web /run/kvmrun-by-hand-web/tpm
setpriv --reuid=1890000001 --regid=1890000001 --clear-groups --no-new-privs -- swtpm socket --tpm2 --daemon --terminate --pid file=/run/kvmrun-by-hand-web/tpm/pid --ctrl type=unixio,path=/run/kvmrun-by-hand-web/tpm/control --tpmstate dir=/run/kvmrun-by-hand-web/tpm
undo+=('[ ! -e /run/kvmrun-by-hand-web/tpm/pid ] || kill "$(cat /run/kvmrun-by-hand-web/tpm/pid)"')

# QEMU, as a user of its own without any privilege
undo+=('kill $(jobs -p) 2>/dev/null; wait')
setpriv \
    --reuid=1890000001 \
    --regid=1890000001 \
    --clear-groups \
    --no-new-privs \
    -- /usr/bin/qemu-system-x86_64 \
    -name guest=web \
    -uuid 6f0d5b6e-4f0e-4c1c-9f0b-7a6a5e0c1d2e \
    -nodefaults \
    -no-user-config \
    -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny \
    -display none \
    -machine q35,graphics=off,dump-guest-core=off,vmport=off,pflash0=uefi-code,pflash1=uefi-vars,smm=on \
    -accel tcg \
    -cpu max,la57=off \
    -smp 1 \
    -m 64M \
    -add-fd fd=20,set=1 \
    -add-fd fd=21,set=2 \
    -add-fd fd=22,set=3 \
    -chardev socket,id=qmp-user,path=/run/kvmrun-by-hand-web/qmp.sock,server=on,wait=off \
    -mon mode=control,chardev=qmp-user \
    -chardev socket,id=console0,path=/run/kvmrun-by-hand-web/console.sock,server=on,wait=off,logfile=/run/kvmrun-by-hand-web/console.log,logappend=on \
    -serial chardev:console0 \
    -blockdev '{"driver":"file","node-name":"disk0-file","filename":"/dev/fdset/1","read-only":false,"discard":"unmap"}' \
    -blockdev '{"driver":"qcow2","node-name":"disk0","file":"disk0-file","read-only":false,"discard":"unmap","backing":null}' \
    -device virtio-blk-pci,id=disk0-dev,drive=disk0,bootindex=1 \
    -blockdev '{"driver":"file","node-name":"uefi-code-file","filename":"/dev/fdset/2","read-only":true,"discard":"unmap"}' \
    -blockdev '{"driver":"raw","node-name":"uefi-code","file":"uefi-code-file","read-only":true,"discard":"unmap"}' \
    -blockdev '{"driver":"file","node-name":"uefi-vars-file","filename":"/dev/fdset/3","read-only":false,"discard":"unmap"}' \
    -blockdev '{"driver":"qcow2","node-name":"uefi-vars","file":"uefi-vars-file","read-only":false,"discard":"unmap","backing":null}' \
    -global driver=cfi.pflash01,property=secure,value=on \
    -global ICH9-LPC.disable_s3=1 \
    -netdev tap,id=net0,ifname=kr-web,script=no,downscript=no \
    -device virtio-net-pci,netdev=net0,id=nic0,mac=52:54:0a:fe:fe:02,romfile= \
    -object rng-builtin,id=rng0 \
    -device virtio-rng-pci,rng=rng0 \
    -device virtio-serial-pci,id=ports0 \
    -chardev pipe,id=agent0,path=/run/kvmrun-by-hand-web/agent \
    -device virtserialport,bus=ports0.0,id=agent0,chardev=agent0,name=org.qemu.guest_agent.0 \
    -action panic=none \
    -device pvpanic \
    -chardev socket,id=tpm-control,path=/run/kvmrun-by-hand-web/tpm/control \
    -tpmdev emulator,id=tpm0,chardev=tpm-control \
    -device tpm-crb,tpmdev=tpm0 <&0 &
wait $!
