# tap kvm-web
ip tuntap add dev kvm-web mode tap user 0 group 0
ip link set dev kvm-web group 21076 alias 'kvmrun web it'\''s'
# settings of kvm-web
test ! -e /proc/sys/net/ipv6 || sysctl -q -w net.ipv6.conf.kvm-web.disable_ipv6=1
sysctl -q -w net.ipv4.conf.kvm-web.forwarding=1
sysctl -q -w net.ipv4.conf.kvm-web.rp_filter=1
sysctl -q -w net.ipv4.conf.kvm-web.proxy_arp=1
sysctl -q -w net.ipv4.neigh.kvm-web.proxy_delay=0
ip link set dev kvm-web mtu 1500 up
# address 10.254.254.1 on kvm-web
ip address add 10.254.254.1/32 dev kvm-web scope link noprefixroute
# route to 10.254.254.2 by kvm-web
ip route add 10.254.254.2/32 dev kvm-web proto 82 scope link src 10.254.254.1
# neighbour 10.254.254.2 on kvm-web
ip neighbour add 10.254.254.2 lladdr 52:54:0a:fe:fe:02 nud permanent dev kvm-web
# sysctl net.ipv4.conf.eth0.forwarding
old_forwarding=$(sysctl -n net.ipv4.conf.eth0.forwarding)
sysctl -q -w net.ipv4.conf.eth0.forwarding=1
# sysctl net.ipv4.neigh.eth0.proxy_delay
old_proxy_delay=$(sysctl -n net.ipv4.neigh.eth0.proxy_delay)
sysctl -q -w net.ipv4.neigh.eth0.proxy_delay=0
# sysctl net.ipv4.conf.eth0.proxy_arp
old_proxy_arp=$(sysctl -n net.ipv4.conf.eth0.proxy_arp)
sysctl -q -w net.ipv4.conf.eth0.proxy_arp=1
# address 10.254.254.1 on eth0
ip address add 10.254.254.1/32 dev eth0 label eth0:0 metric 21076

# undo: address 10.254.254.1 on eth0
ip address delete 10.254.254.1/32 dev eth0
# undo: sysctl net.ipv4.conf.eth0.proxy_arp
sysctl -q -w net.ipv4.conf.eth0.proxy_arp="$old_proxy_arp"
# undo: sysctl net.ipv4.neigh.eth0.proxy_delay
sysctl -q -w net.ipv4.neigh.eth0.proxy_delay="$old_proxy_delay"
# undo: sysctl net.ipv4.conf.eth0.forwarding
sysctl -q -w net.ipv4.conf.eth0.forwarding="$old_forwarding"
# undo: tap kvm-web
ip link delete dev kvm-web
