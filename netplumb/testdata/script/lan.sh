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
# address 192.168.1.10 on kvm-web
ip address add 192.168.1.10/32 dev kvm-web scope link noprefixroute
# route to 192.168.1.50 by kvm-web
ip route add 192.168.1.50/32 dev kvm-web proto 82 scope link src 192.168.1.10
# neighbour 192.168.1.50 on kvm-web
ip neighbour add 192.168.1.50 lladdr 52:54:c0:a8:01:32 nud permanent dev kvm-web
# sysctl net.ipv4.conf.eth0.forwarding
old_forwarding=$(sysctl -n net.ipv4.conf.eth0.forwarding)
sysctl -q -w net.ipv4.conf.eth0.forwarding=1
# sysctl net.ipv4.neigh.eth0.proxy_delay
old_proxy_delay=$(sysctl -n net.ipv4.neigh.eth0.proxy_delay)
sysctl -q -w net.ipv4.neigh.eth0.proxy_delay=0
# proxy ARP for 192.168.1.50 on eth0
ip neighbour add proxy 192.168.1.50 dev eth0 nud permanent protocol 82

# undo: proxy ARP for 192.168.1.50 on eth0
ip neighbour delete proxy 192.168.1.50 dev eth0
# undo: sysctl net.ipv4.neigh.eth0.proxy_delay
sysctl -q -w net.ipv4.neigh.eth0.proxy_delay="$old_proxy_delay"
# undo: sysctl net.ipv4.conf.eth0.forwarding
sysctl -q -w net.ipv4.conf.eth0.forwarding="$old_forwarding"
# undo: tap kvm-web
ip link delete dev kvm-web
