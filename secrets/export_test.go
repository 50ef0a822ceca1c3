package secrets

import (
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/airlock-run/airlock/internal/domain"
)

// HastyKeyVault is NewKeyVault with the same tries, one right after the other.
func HastyKeyVault(address string, credential azcore.TokenCredential, transport policy.Transporter, patience time.Duration) (*KeyVault, error) {
	p := usualPace
	p.retry.RetryDelay, p.pause, p.patience = 1, 0, patience // azcore makes the longest delay of none
	return newKeyVault(address, credential, transport, p)
}

// Item is the name of a secret's item in a vault; "" stands for the manifest.
func Item(cloud domain.CloudID, pkg, name string) string {
	o, err := ownerOf(cloud, pkg)
	if err != nil {
		panic(err)
	}
	return o.item(o.hash(name))
}

// Sums is what hashes in names of items are written from.
func Sums(cloud domain.CloudID, pkg string) func(name string) [32]byte {
	return owner{cloud, cloud.Key(), pkg}.sum
}
