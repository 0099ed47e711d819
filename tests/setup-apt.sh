# Sourced by the other setup scripts: apt with Debian's backports added, in a
# configuration of its own. The machine's sources, lists and pins stay as they
# are; the mirror is the one that they name.
# shellcheck shell=sh

# backports_open makes the configuration below the directory $1, an absolute
# path, for backports_apt.
backports_open() {
	backports_dir=$1
	# shellcheck source=/dev/null
	backports_codename=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
	# shellcheck disable=SC2016 # the names in the format are apt's
	mirror=$(apt-get indextargets --no-release-info \
		--format '$(RELEASE) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
		awk -v release="$backports_codename" '$1 == release && $2 == "main" { print $3; exit }')
	if [ -z "$mirror" ]; then
		echo "$0: no apt source of this machine has \"${backports_codename:-?} main\"; add one to /etc/apt/sources.list" >&2
		return 1
	fi
	mkdir -p "$backports_dir/lists/partial" "$backports_dir/cache/archives/partial"
	for suite in "$backports_codename" "$backports_codename-backports"; do
		echo "deb $mirror $suite main"
	done >"$backports_dir/sources.list"
	backports_apt update -q
}

backports_apt() {
	apt-get \
		-o Dir::Etc::sourcelist="$backports_dir/sources.list" \
		-o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::preferences=/dev/null \
		-o Dir::Etc::preferencesparts=/dev/null \
		-o Dir::State::lists="$backports_dir/lists" \
		-o Dir::Cache="$backports_dir/cache" \
		-o Acquire::Languages=none \
		-o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
		-o APT::Sandbox::User=root \
		"$@" </dev/null
}
