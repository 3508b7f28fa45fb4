# Run by `hatchery test`, which says in HATCHERY_URL where the app is. Fails with the first wrong answer.
set -eu

expect() {
    answer=$(curl --silent --show-error --fail "$HATCHERY_URL$1")
    case $answer in
        *"$2"*) ;;
        *) echo "GET $1 answered '$answer', and not '$2'" >&2; exit 1 ;;
    esac
}

expect / "hello, call 1"
expect / "hello, call 2"
echo "both calls were counted"
