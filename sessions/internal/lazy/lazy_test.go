package lazy

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestMadeOnceForAll(t *testing.T) {
	t.Parallel()
	made := 0
	v := New(t.Context(), 0, func(context.Context) (int, error) { made++; return made, nil })
	if _, already := v.Made(); already {
		t.Error("the value is there before anybody asked for it")
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := v.Get(t.Context()); got != 1 || err != nil {
				t.Errorf("Get = %d, %v; want 1", got, err)
			}
		})
	}
	wg.Wait()
	v.Forget(func(n int) bool { return n == 2 })
	if got, already := v.Made(); got != 1 || !already {
		t.Errorf("Made = %d, %v after another value was forgotten; want 1", got, already)
	}
	v.Forget(func(n int) bool { return n == 1 })
	if got, _ := v.Get(t.Context()); got != 2 {
		t.Errorf("Get = %d after Forget; want 2", got)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	tries, refused := 0, errors.New("refused")
	v := New(t.Context(), 0, func(context.Context) (int, error) {
		if tries++; tries < 3 {
			return 0, errors.New("no network")
		}
		return 0, Final(refused)
	})
	for range 5 {
		_, err := v.Get(t.Context())
		if err == nil {
			t.Fatal("Get gives a value where making it fails")
		}
		if tries == 3 && !errors.Is(err, refused) {
			t.Errorf("Get = %v; want the final failure", err)
		}
	}
	if tries != 3 {
		t.Errorf("tried %d times; want 3: a final failure is not tried again", tries)
	}
}

// A user who goes away leaves the making to the others; the end of the owner ends it.
func TestWhoEndsTheMaking(t *testing.T) {
	t.Parallel()
	owner, end := context.WithCancel(t.Context())
	user, leave := context.WithCancel(t.Context())
	begun := make(chan struct{})
	v := New(owner, 0, func(ctx context.Context) (int, error) {
		close(begun)
		leave()
		select {
		case <-user.Done():
		case <-ctx.Done():
			t.Error("the first user's leaving ended the making")
		}
		end()
		<-ctx.Done()
		return 0, ctx.Err()
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := v.Get(user); !errors.Is(err, context.Canceled) {
			t.Errorf("Get = %v; want that it was cancelled", err)
		}
	})
	<-begun
	if _, err := v.Get(user); !errors.Is(err, context.Canceled) {
		t.Errorf("Get of who has left = %v; want that it was cancelled", err)
	}
	wg.Wait()
}
