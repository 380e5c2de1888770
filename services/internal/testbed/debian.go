package testbed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// debian answers the server unpacked in the cache, or downloads and unpacks it: the packages postgresql-NN and
// postgresql-client-NN, and of the libraries they depend on those that the machine lacks. Nothing is installed, no
// maintainer script runs, no cluster is made; it works without root.
func debian(ctx context.Context, log io.Writer) (Installation, error) {
	for _, tool := range []string{"apt-get", "apt-cache", "dpkg-deb", "ldd"} {
		if _, err := exec.LookPath(tool); err != nil {
			return Installation{}, fmt.Errorf("no download either: %w", err)
		}
	}
	cache, err := cacheDir()
	if err != nil {
		return Installation{}, err
	}
	unlock, err := Lock(filepath.Join(cache, "lock"))
	if err != nil {
		return Installation{}, err
	}
	defer unlock()
	if found, err := unpacked(ctx, filepath.Join(cache, "server")); err == nil {
		return found, nil
	}
	d := &download{cache: cache, log: log, root: filepath.Join(cache, "server.new"), seen: map[string]bool{}}
	if err := d.run(ctx); err != nil {
		return Installation{}, fmt.Errorf("download of the Debian packages: %w", err)
	}
	return unpacked(ctx, filepath.Join(cache, "server"))
}

// cacheDir is <user cache>/onlinesms/postgresql, or where the server's user cannot reach that, one he can.
func cacheDir() (string, error) {
	user, err := os.UserCacheDir()
	if err != nil {
		user = "/var/tmp"
	}
	dir, err := DataDir(filepath.Join(user, "onlinesms", "postgresql"))
	if err != nil {
		return "", err
	}
	who, err := unprivileged()
	if err != nil {
		return "", err
	}
	return dir, who.makeDir(dir)
}

// unpacked finds the server below root. PostgreSQL looks for its files relative to its binary, so a moved tree works.
func unpacked(ctx context.Context, root string) (Installation, error) {
	bins, _ := filepath.Glob(filepath.Join(root, "usr/lib/postgresql/*/bin")) // the pattern is well formed
	if len(bins) == 0 {
		return Installation{}, errors.New("nothing unpacked")
	}
	return inspect(ctx, bins[0], libraries(root)...)
}

// libraries lists the directories below root that hold shared libraries.
func libraries(root string) []string {
	var dirs []string
	for _, pattern := range []string{"usr/lib/*-linux-*", "lib/*-linux-*", "usr/lib", "lib"} {
		matches, _ := filepath.Glob(filepath.Join(root, pattern)) // the patterns are well formed
		dirs = append(dirs, matches...)
	}
	return slices.DeleteFunc(dirs, func(dir string) bool {
		files, _ := filepath.Glob(filepath.Join(dir, "*.so*"))
		return len(files) == 0
	})
}

// download is one download into root, renamed to <cache>/server when it is complete.
type download struct {
	cache, root string
	log         io.Writer
	apt         []string        // options that point apt to state of our own; empty when the machine's lists will do
	seen        map[string]bool // packages fetched, or passed over
}

func (d *download) run(ctx context.Context) error {
	version, err := d.newest(ctx)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(d.root); err != nil {
		return err
	}
	wanted := []string{"postgresql-" + version, "postgresql-client-" + version}
	for len(wanted) > 0 {
		if err := d.fetch(ctx, wanted); err != nil {
			return err
		}
		missing, err := d.missing(ctx)
		if err != nil {
			return err
		}
		if len(missing) == 0 {
			fmt.Fprintf(d.log, "testbed: PostgreSQL %s is complete\n", version)
			return d.keep()
		}
		fmt.Fprintf(d.log, "testbed: still missing %s\n", strings.Join(missing, " "))
		if wanted, err = d.dependencies(ctx, wanted); err != nil {
			return err
		}
	}
	return errors.New("some libraries are in none of the packages it depends on")
}

func (d *download) keep() error {
	whole := filepath.Join(d.cache, "server")
	if err := os.RemoveAll(whole); err != nil { // one that did not run
		return err
	}
	if err := os.RemoveAll(filepath.Join(d.cache, "apt")); err != nil { // our package lists have done their work
		return err
	}
	return os.Rename(d.root, whole)
}

var serverPackage = regexp.MustCompile(`(?m)^postgresql-([0-9]+)$`)

// newest is the highest version the package lists know; lists of our own are fetched when the machine has none.
func (d *download) newest(ctx context.Context) (string, error) {
	for {
		out, err := d.output(ctx, "apt-cache", "pkgnames", "postgresql-")
		if err != nil {
			return "", err
		}
		var versions []string
		for _, match := range serverPackage.FindAllStringSubmatch(out, -1) {
			if number(match[1]) >= oldest && d.available(ctx, "postgresql-"+match[1]) {
				versions = append(versions, match[1])
			}
		}
		if len(versions) > 0 {
			return slices.MaxFunc(versions, func(a, b string) int { return cmp.Compare(number(a), number(b)) }), nil
		}
		if len(d.apt) > 0 {
			return "", errors.New("the package lists know no postgresql server")
		}
		if err := d.ownLists(ctx); err != nil {
			return "", err
		}
	}
}

// available tells whether a package can be downloaded; one that is merely installed is known to apt as well.
func (d *download) available(ctx context.Context, name string) bool {
	_, err := d.output(ctx, "apt-get", "download", "--print-uris", name)
	return err == nil
}

// ownLists fetches package lists into the cache: without root the machine's cannot be refreshed.
func (d *download) ownLists(ctx context.Context) error {
	state := filepath.Join(d.cache, "apt")
	for _, dir := range []string{"lists/partial", "archives/partial"} {
		if err := os.MkdirAll(filepath.Join(state, dir), 0o755); err != nil {
			return err
		}
	}
	d.apt = []string{"-o", "Dir::State::Lists=" + state + "/lists", "-o", "Dir::Cache=" + state, "-o", "APT::Sandbox::User=" + currentUser()}
	fmt.Fprintln(d.log, "testbed: fetching package lists")
	_, err := d.output(ctx, "apt-get", "update", "-q")
	return err
}

// fetch downloads packages and unpacks them into root.
func (d *download) fetch(ctx context.Context, names []string) error {
	archives, err := os.MkdirTemp(d.cache, "archives-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(archives) }()
	fmt.Fprintf(d.log, "testbed: downloading %s\n", strings.Join(names, " "))
	cmd := d.command(ctx, "apt-get", append([]string{"download", "-q", "-o", "APT::Sandbox::User=" + currentUser()}, names...)...)
	cmd.Dir = archives // it downloads into its working directory
	if _, err := cmd.Output(); err != nil {
		return fmt.Errorf("apt-get download: %w", withStderr(err))
	}
	debs, _ := filepath.Glob(filepath.Join(archives, "*.deb")) // the pattern is well formed
	for _, deb := range debs {
		if _, err := d.output(ctx, "dpkg-deb", "-x", deb, d.root); err != nil {
			return err
		}
	}
	for _, name := range names {
		d.seen[name] = true
	}
	return nil
}

var notFound = regexp.MustCompile(`(?m)^\s*(\S+) => not found`)

// missing lists the shared libraries that the server and initdb need and the machine and root lack. The just-in-time
// compiler is a module of its own, off in our settings: its LLVM (100 MB) is not looked at.
func (d *download) missing(ctx context.Context) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(d.root, "usr/lib/postgresql/*"))
	if err != nil || len(found) == 0 {
		return nil, errors.Join(errors.New("the packages hold no server"), err)
	}
	var missing []string
	for _, file := range []string{"bin/postgres", "bin/initdb", "lib/plpgsql.so", "lib/dict_snowball.so"} { // initdb loads the last two
		cmd := d.command(ctx, "ldd", filepath.Join(found[0], file))
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+strings.Join(libraries(d.root), ":"))
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("ldd %s: %w", file, withStderr(err))
		}
		for _, match := range notFound.FindAllStringSubmatch(string(out), -1) {
			missing = append(missing, match[1])
		}
	}
	slices.Sort(missing)
	return slices.Compact(missing), nil
}

var (
	dependency = regexp.MustCompile(`(?m)^ *\|?(?:Pre)?Depends: ([a-z0-9.+-]+)$`)
	library    = regexp.MustCompile(`^(lib|zlib1g)`)
	// never: the C library must be the machine's own (with its loader), LLVM is for the compiler we keep off.
	never = regexp.MustCompile(`^(libc6|libgcc|libllvm)`)
)

// dependencies lists the library packages that names depend on, one step further, without those seen before.
func (d *download) dependencies(ctx context.Context, names []string) ([]string, error) {
	out, err := d.output(ctx, "apt-cache", append([]string{"depends"}, names...)...)
	if err != nil {
		return nil, err
	}
	var next []string
	for _, match := range dependency.FindAllStringSubmatch(out, -1) {
		name := match[1]
		if d.seen[name] || never.MatchString(name) || !library.MatchString(name) || !d.available(ctx, name) {
			continue
		}
		d.seen[name] = true
		next = append(next, name)
	}
	return next, nil
}

// output runs one program and answers its output.
func (d *download) output(ctx context.Context, program string, args ...string) (string, error) {
	out, err := d.command(ctx, program, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", program, withStderr(err))
	}
	return string(out), nil
}

func (d *download) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	if strings.HasPrefix(program, "apt-") {
		args = append(slices.Clone(d.apt), args...)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	return cmd
}
