#!/bin/sh
# Builds the guest that the tests and the demonstration boot: Debian's kernel
# and a busybox userland. Nothing is installed, mounted or changed outside of
# OUT; root is not needed.
#
#   build.sh OUT            OUT/vmlinuz, OUT/initrd and OUT/disk.qcow2, a
#                           disk with the two on it that BIOS and UEFI boot
#   build.sh OUT generic    OUT/generic-vmlinuz and OUT/generic-initrd, with
#                           drivers for QEMU's emulated cards (e1000, rtl8139
#                           and more), which the other's cloud kernel lacks
#   build.sh OUT ssh        OUT/ssh-initrd, the first one's initrd with an SSH
#                           server, which takes its keys from the seed disk,
#                           a server for scp, and QEMU's guest agent
#
# The console is ttyS0. "guest: ready" on it says that init is done, "guest:
# lease eth0 ADDRESS/LENGTH …" that an address was taken by DHCP; a shell
# follows. On TCP: 7 echo, 9 discard, 19 endless zeros, 23 a shell, 80 a web
# page with host name and address.
#
# Words for the kernel's command line:
#   guest.ip=static:ADDRESS/LENGTH[,GATEWAY]   no DHCP, this address
#   guest.nodhcp                               no address
#   guest.poweroff                             power off once ready
#   guest.panic                                panic once ready
#   guest.noagent                              no guest agent, where there is one
#
# A second run finds its work done. Runs at the same time wait for each other.
set -eu

usage() {
	echo "usage: $0 OUT [generic|ssh]" >&2
	exit 2
}

here=$(cd "$(dirname "$0")" && pwd)
case $# in 1 | 2) ;; *) usage ;; esac
mkdir -p "$1"
out=$(cd "$1" && pwd)
case ${2-cloud} in
cloud)
	metapackage=linux-image-cloud-amd64 prefix='' drivers=''
	;;
generic)
	metapackage=linux-image-amd64 prefix=generic- drivers='e1000 e1000e 8139cp pcnet32 ne2k-pci vmxnet3'
	;;
ssh)
	metapackage='' prefix=ssh- drivers=''
	;;
*) usage ;;
esac

# In dependency order when resolved; virtio_pci first makes the rest appear.
modules="virtio_pci virtio_mmio virtio_net $drivers virtio_blk virtio_rng button evdev"
# Those that lie in /modules for whoever needs them, after those that they need.
spare='isofs virtio_balloon virtio_console efivarfs virtiofs'

# The command line of the disk. Emulated CPUs need no mitigations, and a
# console log is to be worth reading, so it is not quiet.
cmdline='console=ttyS0 mitigations=off panic=0'

main() {
	stamp="$out/.${prefix}stamp"
	wanted=$(inputs)
	exec 9>"$out/.${prefix}lock"
	flock 9
	if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
		return
	fi
	work=$(mktemp -d "$out/.work.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	trap 'exit 1' HUP INT TERM

	if [ "$prefix" = ssh- ]; then
		make_ssh_initrd
		mv "$work/initrd" "$out/ssh-initrd"
		echo "$wanted" >"$stamp"
		return
	fi
	fetch_kernel
	make_initrd
	if [ -z "$prefix" ]; then
		make_disk
		mv "$work/disk.qcow2" "$out/disk.qcow2"
	fi
	mv "$work/vmlinuz" "$out/${prefix}vmlinuz"
	mv "$work/initrd" "$out/${prefix}initrd"
	echo "$wanted" >"$stamp"
}

# inputs prints what the result depends on; the kernel's version is not in it,
# so that a second run needs no network. `make clean` brings a new kernel.
inputs() {
	cat "$here/build.sh" "$here/init" "$here/lease" "$here/powerbutton" "$here/ssh-server" "$here/agent" /bin/busybox |
		sha256sum
}

# download gets the packages that a command names, of the archive as it is now.
download() {
	# shellcheck disable=SC2046 # a list of names
	if [ -z "$("$1")" ] || ! apt-get download -q $("$1") >apt.log 2>&1; then
		# The lists are missing, or older than the archive.
		if ! apt-get update -q >>apt.log 2>&1; then
			cat apt.log >&2
			echo "$0: apt-get update failed; run it as root, then try again" >&2
			exit 1
		fi
		apt-get download -q $("$1") >>apt.log 2>&1 || {
			cat apt.log >&2
			echo "$0: cannot download what is needed ($1)" >&2
			exit 1
		}
	fi
}

# fetch_kernel unpacks the package that the metapackage depends on.
fetch_kernel() {
	(
		cd "$work"
		download kernel_package
		dpkg -x ./*.deb root
		rm ./*.deb
	)
	mv "$work"/root/boot/vmlinuz-* "$work/vmlinuz"
}

kernel_package() {
	apt-cache depends "$metapackage" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-.*\)$/\1/p'
}

# module_files prints the files of the named modules, each after those that it
# needs, every file once or more.
module_files() {
	for module; do
		# A file name has - or _ where the module's name has _.
		pattern=$(echo "$module" | sed 's/[-_]/[-_]/g')
		file=$(find "$work/root/lib/modules" -name "$pattern.ko" -o -name "$pattern.ko.xz" | head -n 1)
		[ -n "$file" ] || continue # built into the kernel
		needs=$(unpacked "$file" | tr '\0' '\n' | sed -n 's/^depends=//p' | tr ',' ' ')
		# shellcheck disable=SC2086 # a list of names
		(module_files $needs) # in a subshell, to keep these variables
		echo "$file"
	done
}

unpacked() {
	case $1 in
	*.xz) xz -dc "$1" ;;
	*) cat "$1" ;;
	esac
}

make_initrd() {
	tree=$work/tree
	mkdir -p "$tree/bin" "$tree/dev/pts" "$tree/proc" "$tree/sys" "$tree/etc/acpi/PWRF" \
		"$tree/modules" "$tree/www" "$tree/tmp" "$tree/run"
	cp /bin/busybox "$tree/bin/busybox"
	for applet in $(/bin/busybox --list); do
		[ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet"
	done
	install -m 755 "$here/init" "$tree/init"
	install -m 755 "$here/lease" "$tree/etc/lease"
	install -m 755 "$here/powerbutton" "$tree/etc/acpi/PWRF/00000080"
	printf '#!/bin/busybox sh\nexec cat >/dev/null\n' >"$tree/etc/discard"
	printf '#!/bin/busybox sh\nexec dd if=/dev/zero bs=64k 2>/dev/null\n' >"$tree/etc/zeros"
	chmod 755 "$tree/etc/discard" "$tree/etc/zeros"

	# shellcheck disable=SC2086 # a list of names
	module_files $modules | awk '!seen[$0]++' | while read -r file; do
		name=$(basename "${file%.xz}" .ko)
		unpacked "$file" >"$tree/modules/$name.ko"
		echo "$name" >>"$tree/modules/order"
	done

	# shellcheck disable=SC2086 # a list of names
	module_files $spare | while read -r file; do
		unpacked "$file" >"$tree/modules/$(basename "${file%.xz}" .ko).ko"
	done

	# Not compressed: the emulated CPU takes longer to unpack it than QEMU
	# to hand it over.
	(cd "$tree" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) >"$work/initrd"
}

ssh_packages() {
	echo dropbear-bin libtomcrypt1 libtommath1 libgmp10 libcrypt1 zlib1g libc6 \
		openssh-sftp-server qemu-guest-agent libglib2.0-0 libnuma1 libudev1 liburing2 libpcre2-8-0
}

# make_ssh_initrd puts an archive behind the initrd, which the kernel unpacks too.
make_ssh_initrd() {
	"$here/build.sh" "$out"
	tree=$work/tree
	mkdir -p "$tree/bin" "$tree/etc" "$work/root"
	(
		cd "$work"
		download ssh_packages
		for package in ./*.deb; do dpkg -x "$package" root; done
	)
	for program in usr/sbin/dropbear usr/bin/dropbearconvert usr/sbin/qemu-ga; do
		install -m 755 "$work/root/$program" "$tree/bin"
	done
	install -D -m 755 "$work/root/usr/lib/openssh/sftp-server" "$tree/usr/lib/sftp-server"
	libraries=$work/root/usr/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu
	LD_LIBRARY_PATH=$libraries ldd "$tree/bin/dropbear" "$tree/bin/dropbearconvert" "$tree/bin/qemu-ga" \
		"$tree/usr/lib/sftp-server" |
		grep -o '/[^ ]*' | grep -v ':$' | sort -u | while read -r library; do
		place=$tree/lib/x86_64-linux-gnu
		case $library in */ld-linux*) place=$tree/lib64 ;; esac
		mkdir -p "$place"
		cp -L "$library" "$place"
	done
	install -m 755 "$here/ssh-server" "$tree/etc/ssh-server"
	install -m 755 "$here/agent" "$tree/etc/agent"
	(cat "$out/initrd" && cd "$tree" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) >"$work/initrd"
}

# What a UEFI boots: systemd-boot.
boot_loader_package() { echo systemd-boot-efi; }

# make_disk makes a FAT file system that syslinux and systemd-boot boot, without
# partitions.
make_disk() {
	kib=$(du -k --apparent-size -c "$work/vmlinuz" "$work/initrd" | tail -n 1 | cut -f 1)
	cat >"$work/syslinux.cfg" <<-END
		SERIAL 0 115200
		DEFAULT linux
		PROMPT 0
		TIMEOUT 0
		LABEL linux
		LINUX /vmlinuz
		INITRD /initrd
		APPEND $cmdline
	END
	printf 'timeout 0\n' >"$work/loader.conf"
	cat >"$work/guest.conf" <<-END
		title guest
		linux /vmlinuz
		initrd /initrd
		options $cmdline
	END
	mkdir "$work/loader-root"
	(
		cd "$work"
		download boot_loader_package
		dpkg -x ./*.deb loader-root
		rm ./*.deb
	)
	/sbin/mkfs.vfat -n GUEST -C "$work/disk.raw" $((kib + 2048)) >/dev/null
	syslinux --install "$work/disk.raw"
	mcopy -i "$work/disk.raw" "$work/vmlinuz" "$work/initrd" "$work/syslinux.cfg" ::
	mmd -i "$work/disk.raw" ::EFI ::EFI/BOOT ::loader ::loader/entries
	mcopy -i "$work/disk.raw" "$work/loader-root/usr/lib/systemd/boot/efi/systemd-bootx64.efi" ::EFI/BOOT/BOOTX64.EFI
	mcopy -i "$work/disk.raw" "$work/loader.conf" ::loader
	mcopy -i "$work/disk.raw" "$work/guest.conf" ::loader/entries
	qemu-img convert -f raw -O qcow2 "$work/disk.raw" "$work/disk.qcow2"
}

main
