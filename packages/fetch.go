package packages

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/packages/internal/nuget"
	"github.com/airlock-run/airlock/packages/internal/nupkg"
)

// Source is a NuGet feed of version 3.
type Source = nuget.Source

// Bounds of what is fetched from a feed at a time.
const (
	maxRequests = 1000    // lists of versions and packages
	maxListed   = 20_000  // versions in those lists
	maxFetched  = 2 << 30 // bytes of packages, those included that turn out not to fit
)

// Fetch downloads packages from a feed, and all that they depend on, to files in dir, which it returns by name. A
// reference is Name, Name@1.2.3, Name@1.* or an interval of NuGet's: Name@[1.0,2.0).
//
// Versions are chosen as for a lock: the highest that fit together; one with a label, which has to be a ring's, only where
// a range names one. What is missing or contradicts itself is a Conflict that names the chain which leads there. After an
// error nothing is left in dir.
func Fetch(ctx context.Context, from Source, references []string, dir string, progress func(what string)) (files []string, err error) {
	root := &node{held: held{version: version{ring: dev}}}
	var needs []need
	for _, s := range references {
		n, err := asked(root, s)
		if err != nil {
			return nil, err
		}
		needs = append(needs, n)
	}
	feed, err := nuget.Open(ctx, from)
	if err != nil {
		return nil, err
	}
	defer feed.Close()
	if dir, err = os.MkdirTemp(dir, "feed-"); err != nil {
		return nil, errors.Because(err, errors.Usage, "There is no place for what is fetched: %v.", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	f := &fetching{feed: feed, dir: dir, progress: progress, room: maxFetched, got: map[string][]domain.Dependency{}}
	s := newSolver(ctx, f, root)
	s.place, s.none = "the feed", ", or only such as have a label other than -dev and -preview"
	if err := s.find(needs); err != nil {
		var c contradiction
		if errors.As(err, &c) {
			err = errors.Because(err, errors.Conflict, "The feed cannot give what is asked of it: %v.", err)
		}
		return nil, err
	}
	for _, n := range s.chosen {
		files = append(files, f.path(n.held))
		delete(f.got, f.path(n.held))
	}
	for path := range f.got { // was tried
		if err := os.Remove(path); err != nil {
			return nil, errors.Because(err, errors.Usage, "What was fetched cannot be used: %v.", err)
		}
	}
	slices.Sort(files)
	return files, nil
}

// asked reads a reference to what is to be fetched.
func asked(root *node, s string) (need, error) {
	name, wanted, _ := strings.Cut(s, "@")
	if strings.HasPrefix(wanted, "[") || strings.HasPrefix(wanted, "(") {
		wants, err := parseRange(wanted)
		if err != nil || !domain.ValidPackageRef(name+"@*") {
			return need{}, errors.Because(err, errors.InvalidResourceName, "%.300q names no packages of a feed: an interval is written Name@[1.0,2.0).", s)
		}
		return need{root, name, wants}, nil
	}
	ref, err := parseReference(s)
	if err != nil {
		return need{}, err
	}
	interval := ""
	switch count := len(ref.numbers); {
	case ref.exact != nil:
		interval = "[" + ref.exact.String() + "]"
	case count > 0:
		next := slices.Clone(ref.numbers)
		next[count-1]++
		interval = fmt.Sprintf("[%s,%s)", dotted(ref.numbers), dotted(next))
	}
	wants, err := parseRange(interval)
	return need{root, ref.name, wants}, err
}

// dotted writes the numbers of a version.
func dotted(numbers []int64) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(numbers), "[]"), " ", ".")
}

// fetching is a feed as a shelf. What a version depends on stands in its .nupkg, which is fetched for that.
type fetching struct {
	feed     *nuget.Feed
	dir      string
	progress func(what string)

	requests, listed int
	room             int64                          // bytes
	got              map[string][]domain.Dependency // what is needed by the packages that were fetched, by path
}

// request counts one more.
func (f *fetching) request() error {
	if f.requests++; f.requests > maxRequests {
		return errors.Newf(errors.RequestEntityTooLarge, "What is asked of the feed takes more than %d requests, which is the most at a time. Fetch it in parts.", maxRequests)
	}
	return nil
}

// versions are those of a package that can be in a repository, the highest first.
func (f *fetching) versions(ctx context.Context, name string) ([]held, error) {
	if err := f.request(); err != nil {
		return nil, err
	}
	listed, err := f.feed.Versions(ctx, name)
	if err != nil {
		return nil, err
	}
	if f.listed += len(listed); f.listed > maxListed {
		return nil, errors.Newf(errors.RequestEntityTooLarge, "The feed lists more than %d versions, which is the most at a time.", maxListed)
	}
	var all []domain.Package
	seen := map[string]bool{}
	for _, s := range listed {
		v, err := parseVersion(s)
		if err != nil || seen[v.String()] {
			continue
		}
		seen[v.String()] = true
		p := domain.Package{Name: name, Version: v.String(), Library: true}
		p.Review.State = domain.Submitted
		all = append(all, p)
	}
	return ordered(all)
}

// path is that of a version's file. No name has an @, so that each version has its own.
func (f *fetching) path(h held) string {
	return filepath.Join(f.dir, strings.ToLower(h.Ref())+".nupkg")
}

// dependencies are those in the nuspec of a version, which is fetched.
func (f *fetching) dependencies(ctx context.Context, h held) ([]domain.Dependency, error) {
	if needs, ok := f.got[f.path(h)]; ok {
		return needs, nil
	}
	if err := f.request(); err != nil {
		return nil, err
	}
	f.progress("fetching " + h.Ref())
	file, err := os.OpenFile(f.path(h), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, errors.Because(err, errors.Usage, "There is no place for what is fetched: %v.", err)
	}
	defer file.Close()
	size, err := f.feed.Download(ctx, h.Name, h.Version, file, min(nupkg.MaxSize, f.room))
	if errors.Has(err, errors.RequestEntityTooLarge) && f.room < nupkg.MaxSize {
		return nil, errors.Newf(errors.RequestEntityTooLarge, "With %s more than %d bytes are fetched, which is the most at a time. Fetch it in parts.", h.Ref(), maxFetched)
	}
	if err != nil {
		return nil, err
	}
	f.room -= size
	archive, err := nupkg.Open(file, size)
	if err == nil {
		err = h.is(archive.Nuspec)
	}
	if err != nil {
		return nil, errors.Because(err, errors.InvalidPackage, "What the feed has as %s cannot be used: %v.", h.Ref(), err)
	}
	f.got[f.path(h)] = archive.Nuspec.Dependencies
	return archive.Nuspec.Dependencies, nil
}

// is says why a nuspec is not that of the version.
func (h held) is(spec nupkg.Nuspec) error {
	v, err := parseVersion(spec.Version)
	if err != nil {
		return err
	}
	if !strings.EqualFold(spec.ID, h.Name) || v.compare(h.version) != 0 {
		return fmt.Errorf("its nuspec says that it is %s@%s", spec.ID, v)
	}
	return nil
}
