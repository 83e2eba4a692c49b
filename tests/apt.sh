# Debian packages of any suite, without touching the machine's own apt: sourced
# by the scripts that need one. Every file is below the current directory.
#
# They come from the mirror that the machine's own apt uses for Debian.

keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# Makes the current directory an apt state that knows the packages of suite $1.
private_suite() {
    if ! [ -r "$keyring" ]; then
        echo "no $keyring: install debian-archive-keyring" >&2
        return 1
    fi
    archive=$(debian_archive)
    if [ -z "$archive" ]; then
        echo "apt names no Debian archive: run apt-get update, or add it to apt's sources" >&2
        return 1
    fi
    mkdir -p lists/partial cache/archives/partial
    : >status
    echo "deb [signed-by=$keyring] $archive $1 main" >sources.list
    private_apt apt-get update >&2
}

# The tool $1 of apt, with the state in the current directory.
private_apt() {
    tool=$1
    shift
    # A mirror may stand still for longer than the week that sid's Release file
    # is valid for; its signature is checked all the same.
    "$tool" -q \
        -o Dir::Etc::SourceList="$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$PWD/lists" -o Dir::Cache="$PWD/cache" \
        -o Dir::State::Status="$PWD/status" -o Acquire::Languages=none \
        -o APT::Architecture=amd64 -o APT::Architectures=amd64 \
        -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root "$@" </dev/null
}

# The URI of the Debian archive proper in the machine's apt configuration; on another
# system, Debian's own.
debian_archive() {
    if [ "$(. /etc/os-release && echo "$ID")" != debian ]; then
        echo http://deb.debian.org/debian
        return
    fi
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-sid}")
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' |
        awk -v suite="$codename" '$2 == suite && $3 == "main" { print $1; exit }'
}
