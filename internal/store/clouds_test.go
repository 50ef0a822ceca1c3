package store

import (
	"testing"

	"github.com/airlock-run/airlock/internal/domain"
	"github.com/airlock-run/airlock/internal/errors"
	"github.com/airlock-run/airlock/sdk/manifest"
)

func TestPrivateClouds(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		_, err := f.PrivateCloud(ctx, cloudID(1))
		want(t, err, errors.ResourceNotFound)
		one, two, other := cloud(1), cloud(2), cloud(3)
		two.ID.ResourceGroup = "Second"
		other.ID.Subscription = "Sub-2"
		for _, c := range []domain.PrivateCloud{two, other, one} {
			ok(t, f.PutPrivateCloud(ctx, c))
		}
		get := func(subscription, group string) []domain.PrivateCloud {
			return must[[]domain.PrivateCloud](t)(f.PrivateClouds(ctx, subscription, group))
		}
		same(t, "subscription", get("SUB-1", ""), []domain.PrivateCloud{one, two})
		same(t, "group", get("sub-1", "SECOND"), []domain.PrivateCloud{two})
		same(t, "none", len(get("sub-3", "")), 0)

		f.setState(1, domain.CloudUpdating)
		again := cloud(1)
		again.ID = domain.CloudID{Subscription: "sub-1", ResourceGroup: "group", Name: "cloud-1"}
		again.State, again.ClusterSize, again.VCenter, again.Dev, again.Paused = "", 4, "other.example", true, true
		again.Egress = domain.Egress{To: []domain.Destination{{Host: "mirror.example", Port: 443}, {Host: "::1", Port: 80}}}
		again.Connection = &domain.Connection{User: "scripting@vsphere.local", Password: domain.Reference{File: "/etc/airlock/vc"},
			Hosts: []domain.SSHHost{{Name: "esx1.example", User: "root", Key: &domain.Reference{Secret: "key"}}}}
		ok(t, f.PutPrivateCloud(ctx, again))
		again.ID, again.State = one.ID, domain.CloudUpdating
		f.reopen()
		same(t, "replaced, but for state and case", must[domain.PrivateCloud](t)(f.PrivateCloud(ctx, again.ID)), again)

		want(t, f.PutPrivateCloud(ctx, domain.PrivateCloud{}), errors.InvalidResourceName)
	})
}

func TestMarkUpdating(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx, c := t.Context(), f.putCloud(1)
		mark := func() [2]string {
			got := must[domain.PrivateCloud](t)(f.PrivateCloud(ctx, c))
			return [2]string{string(got.State), got.UpdatedBy}
		}
		one := f.running(c, "one")
		id := one.Execution.ID
		ok(t, f.MarkUpdating(ctx, id, one.Fence))
		ok(t, f.MarkUpdating(ctx, id, one.Fence))
		same(t, "marked", mark(), [2]string{"Updating", id})
		f.finish(one, domain.Outcome{State: domain.Succeeded})
		same(t, "cleared by the end", mark(), [2]string{"Succeeded", ""})

		two := f.running(c, "two")
		ok(t, f.MarkUpdating(ctx, two.Execution.ID, two.Fence))
		f.setState(1, domain.CloudUpdating)
		want(t, f.MarkUpdating(ctx, two.Execution.ID, two.Fence), errors.PrivateCloudUpdating)
		f.finish(two, domain.Outcome{State: domain.Succeeded})
		same(t, "set by hand, it stays", mark(), [2]string{"Updating", ""})
		want(t, f.MarkUpdating(ctx, two.Execution.ID, two.Fence), errors.ExecutorLost)
	})
}

func TestPackages(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		pack := func(name, version, digest string) domain.Package {
			return domain.Package{Name: name, Version: version, Digest: digest, Pushed: morning, Review: domain.Review{State: domain.Approved}, Manifest: manifest.Manifest{
				ManifestVersion: 1, Name: name, Version: version, Runtime: manifest.Go, Cmdlets: []manifest.Cmdlet{{Name: "Get-Inventory", TimeoutSeconds: 60,
					Parameters: []manifest.Parameter{{Name: "Password", Type: manifest.SecureString, Required: true}}}}}}
		}
		b, a1, a2 := pack("Beta", "1.0.0", "b"), pack("Alpha", "1.0.0", "a1"), pack("ALPHA", "2.0.0", "a2")
		for _, p := range []domain.Package{b, a1, a2, pack("alpha", "1.0.0", "a1")} {
			ok(t, f.PutPackage(ctx, p))
		}
		want(t, f.PutPackage(ctx, pack("ALPHA", "1.0.0", "new")), errors.Conflict)
		a2.Name = "Alpha" // the case of the first push
		f.reopen()
		same(t, "all", must[[]domain.Package](t)(f.Packages(ctx, "")), []domain.Package{a1, a2, b})
		same(t, "by name", must[[]domain.Package](t)(f.Packages(ctx, "alPHA")), []domain.Package{a1, a2})
		same(t, "by digest", must[domain.Package](t)(f.PackageByDigest(ctx, "a2")), a2)
		_, err := f.PackageByDigest(ctx, "new")
		want(t, err, errors.ResourceNotFound)
	})
}
