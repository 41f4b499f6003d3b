#!/usr/bin/env bash
# What compiling libbskim, and testing the page of the service, need from the system.
#
#   scripts/dependencies.sh [GROUP...]             say what is missing, and the command that installs it
#   scripts/dependencies.sh --install [GROUP...]   install it: as root, or by a sudo that asks for no password
#   scripts/dependencies.sh --install-all          the same of all groups
#
# Groups: build (the default), fuzz (clang) and page (a browser). Exits with 1 if something is still missing.
#
# Debian 12 has no headers of ONNX Runtime. There they are those of Debian 13, unpacked into build/onnxruntime-headers;
# the library is that of the Python package.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly HEADERS=build/onnxruntime-headers
readonly HEADERS_PACKAGE=libonnxruntime-dev
readonly HEADERS_SUITE=trixie

say() { printf '%s\n' "$*" >&2; }

has_command() { command -v "$1" >/dev/null; }

has_header() {
    local folder
    for folder in /usr/include /usr/local/include "/usr/include/$(uname -m)-linux-gnu"; do
        [[ -e $folder/$1 ]] && return
    done
    return 1
}

has_onnxruntime_headers() {
    [[ -n ${ONNXRUNTIME_ROOT:-}${ONNXRUNTIME_INCLUDE_DIR:-} ]] || has_header onnxruntime/onnxruntime_c_api.h ||
        [[ -e $HEADERS/usr/include/onnxruntime/onnxruntime_c_api.h ]]
}

# The library of libFuzzer, without which clang makes no fuzzer.
has_fuzzer() {
    has_command clang && compgen -G "$(clang -print-resource-dir)/lib/*/libclang_rt.fuzzer*.a" >/dev/null
}

# Prints the packages of a group that are missing.
missing_of() {
    case $1 in
    build)
        has_command cmake || echo cmake
        has_command make || echo make
        has_command g++ || echo g++
        has_command pkg-config || echo pkg-config
        has_header nlohmann/json.hpp || echo nlohmann-json3-dev
        has_header unicode/uchar.h || echo libicu-dev
        has_header openssl/evp.h || echo libssl-dev
        has_header doctest/doctest.h || echo doctest-dev
        has_header httplib.h || echo libcpp-httplib-dev
        has_onnxruntime_headers || echo "$HEADERS_PACKAGE"
        ;;
    fuzz)
        has_command clang || echo clang
        has_fuzzer || echo libclang-rt
        ;;
    page)
        has_command chromium || echo chromium
        has_command chromedriver || echo chromium-driver
        ;;
    esac
}

as_root() {
    if [[ $(id -u) == 0 ]]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@"; }

has_candidate() { apt-cache policy "$1" 2>/dev/null | grep -q '^  Candidate: [0-9]'; }

# clang's libraries are in a package for each of its versions.
fuzzer_package() { apt-cache depends clang | sed -n 's/^ *Depends: clang-\([0-9]*\)$/libclang-rt-\1-dev/p' | head -1; }

# Unpack the headers' package of a later Debian, from the archive that this system uses. apt checks its signature.
unpack_headers() {
    local work archive keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    # shellcheck disable=SC2016
    archive=$(apt-get indextargets --format '$(ORIGIN)|$(COMPONENT)|$(CODENAME)|$(REPO_URI)' 'Created-By: Packages' |
        grep -E '^Debian\|main\|[a-z]+\|' | head -1 | cut -d'|' -f4)
    if [[ -z $archive || ! -e $keyring ]]; then
        say "This distribution has no $HEADERS_PACKAGE. Unpack an archive that ONNX Runtime's project releases, and set" \
            "ONNXRUNTIME_ROOT to its folder."
        return 1
    fi
    work=$(mktemp -d)
    # shellcheck disable=SC2064
    trap "rm -rf '$work'" EXIT
    mkdir -p "$work/lists/partial" "$work/unpacked"
    echo "deb [signed-by=$keyring] $archive $HEADERS_SUITE main" >"$work/sources.list"
    # Lists of its own: the system never hears of that suite. No sandbox: its user may not enter the folder.
    local options=(-qq -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work" -o APT::Sandbox::User=root
        -o Acquire::Languages=none)
    apt-get "${options[@]}" update
    (cd "$work" && apt-get "${options[@]}" download "$HEADERS_PACKAGE")
    dpkg-deb -x "$work/$HEADERS_PACKAGE"_*.deb "$work/unpacked"
    rm -rf "$HEADERS"
    mkdir -p "$HEADERS/usr"
    mv "$work/unpacked/usr/include" "$HEADERS/usr/include"
}

install() {
    local one packages=() headers=
    apt update
    for one in "$@"; do
        case $one in
        libclang-rt) packages+=("$(fuzzer_package)") ;;
        "$HEADERS_PACKAGE")
            if has_candidate "$HEADERS_PACKAGE"; then
                packages+=("$HEADERS_PACKAGE")
            else
                headers=wanted
            fi
            ;;
        *) packages+=("$one") ;;
        esac
    done
    if ((${#packages[@]})); then apt install -y --no-install-recommends "${packages[@]}"; fi
    if [[ $headers ]]; then unpack_headers; fi
}

may_install() { has_command apt-get && { [[ $(id -u) == 0 ]] || sudo -n true 2>/dev/null; }; }

# Prints the packages of all groups that are missing.
missing_of_all() {
    local group
    for group in "$@"; do missing_of "$group"; done
}

main() {
    local wanted='' groups=() argument missing
    for argument in "$@"; do
        case $argument in
        --install) wanted=yes ;;
        --install-all) wanted=yes groups=(build fuzz page) ;;
        build | fuzz | page) groups+=("$argument") ;;
        *)
            say "There is no group '$argument'. Groups: build, fuzz, page."
            return 2
            ;;
        esac
    done
    ((${#groups[@]})) || groups=(build)
    mapfile -t missing < <(missing_of_all "${groups[@]}")
    ((${#missing[@]})) || return 0

    if [[ $wanted ]] && may_install; then
        install "${missing[@]}" >&2
    elif [[ $wanted && ${missing[*]} == "$HEADERS_PACKAGE" ]] && has_command apt-get && ! has_candidate "${missing[0]}"; then
        unpack_headers >&2  # no part of the system is touched
    fi
    mapfile -t missing < <(missing_of_all "${groups[@]}")
    ((${#missing[@]})) || return 0

    say "Missing, by the names of Debian's packages: ${missing[*]}"
    if has_command apt-get; then
        say "Install them as root: scripts/dependencies.sh --install ${groups[*]}"
    else
        say "Install them as your system does it. $HEADERS_PACKAGE is ONNX Runtime with its headers: or unpack an archive" \
            "that its project releases, and set ONNXRUNTIME_ROOT to the folder."
    fi
    return 1
}

main "$@"
