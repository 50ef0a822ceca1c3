// Command attack is the hostile script of the attack suite: it tries one way out of its room, and says whether that
// went. What it aims at, it is told over descriptor 3: where the secrets, processes and servers of the test are. An
// attack that succeeds does no harm, so that each can be tried without a room, too.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
)

// target is what there is to be had.
type target struct {
	Attack    string
	Secret    string // path of a file that anybody may read
	Directory string // that anybody may write to
	Socket    string // path of a Unix socket
	Abstract  string // name of an abstract one
	TCP, UDP  string // addresses at the machine's loopback; one that sends a line, one that answers
	Other     string // TCP at another address of the machine, "" where it has none
	Simulator string // TCP: what a simulated private cloud listens at
	Process   int    // a process of the same user, with Canary in its environment and memory
	Canary    string
	Address   uintptr // of the canary in the process's memory
	SharedKey int     // of System V shared memory
	Queue     string  // of a POSIX message queue
	Full      string  // path of a file below /tmp
	Amount    int     // of what is to be exhausted
}

// attacks are all there are; nil is success.
var attacks = map[string]func(target) error{}

// errNotFound says that an attack is blocked though no call has failed.
var errNotFound = errors.New("nothing is there")

func main() {
	if os.Getenv(again) != "" { // a program that an attack has executed
		fmt.Println("succeeded")
		return
	}
	debug.SetTraceback("none")
	var t target
	if err := json.NewDecoder(os.NewFile(3, "target")).Decode(&t); err != nil {
		fmt.Println("the attack was not told what to do:", err)
		os.Exit(2)
	}
	attack, ok := attacks[t.Attack]
	if !ok {
		fmt.Println("there is no such attack")
		os.Exit(2)
	}
	if err := attack(t); err != nil {
		fmt.Println("blocked:", err)
		os.Exit(1)
	}
	fmt.Println("succeeded")
}

// again is the variable by which the program knows itself.
const again = "ATTACK_AGAIN"

// register adds attacks; it runs before main.
func register(more map[string]func(target) error) bool {
	for name, f := range more {
		attacks[name] = f
	}
	return true
}
