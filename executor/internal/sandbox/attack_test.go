package sandbox_test

import "github.com/airlock-run/airlock/executor/internal/sandbox"

// attempt is one attempt of the attack suite, by its name in sandboxtest/attack.
type attempt struct {
	name   string
	guards string // what stands in its way, the first one first
	says   string // how it fails in the room; "" where a bound ends it
	root   bool   // only root can do it even without a room
	varies bool   // from machine to machine: where it is blocked without a room as well, it shows nothing
	rooted bool   // the guard takes an Airlock that runs as root
	limit  sandbox.Limit
	amount int // MiB, or how many
}

const (
	absent  = "no such file or directory"
	eperm   = "operation not permitted"
	refused = "connection refused"
)

// attempts are the suite. The guards: the namespaces by their kind; mounts, the room's own file system; landlock;
// calls, the filter of system calls; capabilities, which there are none; limits.
var attempts = []attempt{
	// files
	{name: "read a file of the machine", guards: "mounts, landlock", says: absent},
	{name: "write a file of the machine", guards: "mounts, landlock", says: absent},
	{name: "list the machine's root", guards: "mounts, landlock", says: absent},
	{name: "read the machine's users", guards: "mounts", says: "nothing is there"},
	{name: "follow a symbolic link out", guards: "mounts, landlock", says: absent},
	{name: "hard-link a file of the machine", guards: "mounts, landlock", says: absent},
	{name: "climb out of the work directory", guards: "mounts, landlock", says: absent},
	{name: "rename a file out", guards: "mounts, landlock", says: absent},
	{name: "look through the root of a process", guards: "process namespace, landlock, calls", says: absent},
	{name: "look through the root of init", guards: "process namespace, hidden stage, landlock", says: absent, root: true, varies: true},
	{name: "open the machine's disk", guards: "capabilities, mounts without devices, landlock", says: "ermi", root: true, varies: true},
	{name: "open a file by its handle", guards: "calls, capabilities", says: eperm, root: true},
	{name: "change the package", guards: "read-only mount, landlock", says: "read-only file system", root: true},
	{name: "execute memory of a written file", guards: "mounts without execution", says: eperm},
	{name: "change the kernel's settings", guards: "process-only /proc, user namespace, landlock", says: absent, root: true},
	{name: "read the kernel's settings", guards: "process-only /proc", says: absent},
	{name: "read the machine's devices", guards: "mounts", says: absent},
	{name: "write to the machine's shared memory", guards: "mounts, landlock", says: absent},
	{name: "change /etc/hosts", guards: "read-only mount, landlock", says: "read-only file system", root: true},
	{name: "mount a file system", guards: "calls, capabilities", says: eperm, root: true},
	{name: "open a file system", guards: "calls, capabilities", says: eperm, root: true},
	{name: "copy a mount", guards: "calls, capabilities", says: eperm, root: true},
	{name: "change the root", guards: "calls, capabilities", says: eperm, root: true},
	{name: "list mounts", guards: "calls, mount namespace", says: eperm, varies: true},
	{name: "make a file that changes the user", guards: "mounts without set-user-ID, no new privileges, user namespace", says: "nosuid"},
	{name: "read the mounts of the machine", guards: "mount namespace", says: "nothing is there"},
	{name: "watch files of others", guards: "calls", says: eperm},
	{name: "write through a descriptor's own link", guards: "the room's user, read-only mount, landlock", says: "permission denied", root: true},
	// processes
	{name: "run a shell", guards: "calls, mounts, landlock", says: eperm},
	{name: "execute itself", guards: "calls", says: eperm},
	{name: "execute a descriptor", guards: "calls", says: eperm},
	{name: "execute memory", guards: "calls", says: eperm},
	{name: "execute a written program", guards: "calls, mounts without execution, landlock", says: eperm},
	{name: "execute a script by its interpreter", guards: "calls, mounts without execution, landlock", says: eperm},
	{name: "execute by the dynamic loader", guards: "calls, mounts, landlock", says: eperm},
	{name: "fork", guards: "calls", says: eperm},
	{name: "vfork", guards: "calls", says: eperm},
	{name: "fork by clone", guards: "calls", says: eperm},
	{name: "fork by clone with the same memory", guards: "calls", says: eperm},
	{name: "fork a sibling by clone", guards: "calls", says: eperm},
	{name: "fork by clone3", guards: "calls", says: "function not implemented"},
	{name: "fork by int 0x80", guards: "calls, which kill", says: "signal: bad system call", varies: true},
	{name: "clone by int 0x80", guards: "calls, which kill", says: "signal: bad system call", varies: true},
	{name: "fork by an x32 number", guards: "calls", says: "function not implemented", varies: true},
	{name: "clone into a user namespace", guards: "calls, no user namespaces", says: eperm},
	{name: "leave a network namespace", guards: "calls, capabilities", says: eperm, root: true},
	{name: "enter a namespace", guards: "calls, capabilities", says: eperm, root: true},
	{name: "trace a process", guards: "calls, process namespace, landlock", says: eperm},
	{name: "read the memory of a process", guards: "calls, process namespace, landlock", says: eperm},
	{name: "read a process's memory by a file", guards: "process namespace, landlock", says: absent},
	{name: "read the environment of a process", guards: "process namespace", says: absent},
	{name: "read the environment of its parent", guards: "process namespace, hidden stage", says: absent},
	{name: "list the files of its parent", guards: "process namespace, hidden stage", says: absent},
	{name: "take a descriptor of a process", guards: "process namespace, calls", says: "no such process"},
	{name: "see other processes", guards: "process namespace, /proc that hides", says: "nothing is there"},
	{name: "signal a process", guards: "process namespace, landlock", says: "no such process"},
	{name: "signal its parent", guards: "landlock", says: eperm},
	{name: "open a process", guards: "process namespace", says: "no such process"},
	{name: "renice a process", guards: "process namespace", says: "no such process"},
	{name: "bound a process", guards: "calls, process namespace", says: eperm},
	{name: "bind a process to a processor", guards: "process namespace", says: "no such process"},
	{name: "have capabilities within reach", guards: "capabilities", says: "all sets of capabilities are empty"},
	{name: "gain privileges by executing", guards: "no new privileges", says: "no new privileges are given"},
	{name: "become root", guards: "user namespace, capabilities", says: "invalid argument", root: true},
	{name: "compare itself with a process", guards: "calls, process namespace", says: eperm, varies: true},
	// network
	{name: "reach a loopback service", guards: "network namespace", says: refused},
	{name: "reach a loopback service by its name", guards: "network namespace", says: refused},
	{name: "reach a loopback service by IPv6", guards: "network namespace", says: refused},
	{name: "reach a loopback service by UDP", guards: "network namespace", says: refused},
	{name: "reach another address of the machine", guards: "network namespace", says: refused},
	{name: "reach the simulator's machine", guards: "network namespace", says: refused},
	{name: "reach a Unix socket", guards: "mounts, landlock", says: absent},
	{name: "reach an abstract socket", guards: "network namespace, landlock", says: refused},
	{name: "make a vsock socket", guards: "calls", says: "address family not supported"},
	{name: "make a raw socket", guards: "capabilities, network namespace", says: eperm, root: true},
	{name: "make a packet socket", guards: "calls, capabilities, network namespace", says: "address family not supported", root: true},
	{name: "make a socket of the kernel's events", guards: "calls, network namespace", says: "address family not supported"},
	{name: "make a socket of the kernel's ciphers", guards: "calls", says: "address family not supported", varies: true},
	{name: "see the machine's network", guards: "network namespace", says: "nothing is there"},
	{name: "change the network", guards: "capabilities, network namespace", says: eperm, root: true},
	{name: "listen where the broker listens", guards: "capabilities", says: "permission denied", root: true},
	// the kernel
	{name: "set up io_uring", guards: "calls", says: eperm, varies: true},
	{name: "make a BPF map", guards: "calls, capabilities", says: eperm, root: true},
	{name: "open a performance event", guards: "calls", says: eperm, varies: true},
	{name: "handle page faults", guards: "calls", says: eperm, varies: true},
	{name: "add a key", guards: "calls", says: eperm, varies: true},
	{name: "read a keyring", guards: "calls", says: eperm, varies: true},
	{name: "make memory without a file", guards: "calls", says: eperm},
	{name: "make secret memory", guards: "calls", says: eperm, varies: true},
	{name: "open shared memory of others", guards: "calls, IPC namespace", says: eperm},
	{name: "make shared memory", guards: "calls", says: eperm},
	{name: "open a message queue", guards: "calls, IPC namespace", says: eperm, varies: true},
	{name: "filter its own system calls", guards: "calls", says: eperm},
	{name: "change its personality", guards: "calls", says: eperm},
	{name: "read segment descriptors", guards: "calls", says: eperm, varies: true},
	{name: "read the kernel's log", guards: "calls, capabilities", says: eperm, root: true},
	{name: "look at the clock's settings", guards: "calls", says: eperm},
	{name: "set the host name", guards: "calls, host name namespace, capabilities", says: eperm, root: true},
	{name: "load a kernel module", guards: "calls, capabilities", says: eperm, root: true, varies: true},
	{name: "count processes' use of it", guards: "calls, capabilities", says: eperm, root: true, varies: true},
	{name: "swap to a file", guards: "calls, capabilities", says: eperm, root: true},
	{name: "get into ports", guards: "calls", says: eperm, varies: true},
	// resources
	{name: "take memory", guards: "limits", limit: sandbox.Memory, amount: 192},
	{name: "take shared memory", guards: "limits", limit: sandbox.Memory, amount: 192},
	{name: "fill the disk", guards: "limits", limit: sandbox.WorkDirectory, amount: 32},
	{name: "fill the disk by files in /tmp", guards: "limits", limit: sandbox.WorkDirectory, amount: 32},
	{name: "fill the disk by deleted files", guards: "limits", limit: sandbox.WorkDirectory, amount: 32},
	{name: "fill the disk by hidden files", guards: "limits", limit: sandbox.WorkDirectory, amount: 32},
	{name: "fill the disk by mapped files", guards: "limits, as root", limit: sandbox.WorkDirectory, amount: 32, rooted: true},
	{name: "fill the disk by files far down", guards: "limits", limit: sandbox.WorkDirectory, amount: 300},
	{name: "make empty files", guards: "limits", limit: sandbox.WorkDirectory, amount: 4400},
	{name: "allocate the disk", guards: "limits", limit: sandbox.WorkDirectory, amount: 32},
	{name: "fill the disk behind a closed home", guards: "limits", limit: sandbox.WorkDirectory, amount: 32},
	{name: "fill the disk by files in flight", guards: "limits", limit: sandbox.WorkDirectory, amount: 32},
	{name: "fill the disk behind a dead thread", guards: "limits", limit: sandbox.WorkDirectory, amount: 32},
	{name: "take shared memory behind a dead thread", guards: "limits", limit: sandbox.Memory, amount: 192},
	{name: "take shared memory and let go of it", guards: "limits", limit: sandbox.Memory, amount: 192},
	{name: "make a thread with descriptors of its own", guards: "calls", says: eperm},
	{name: "take descriptors of its own", guards: "calls", says: eperm},
	{name: "make Landlock rules", guards: "calls", says: eperm, varies: true},
	{name: "queue work on files", guards: "calls", says: eperm, varies: true},
	{name: "filter its own system calls by prctl", guards: "calls", says: eperm},
	{name: "be unreadable", guards: "calls", says: eperm},
	{name: "bound its parent", guards: "calls", says: eperm},
	{name: "take threads", guards: "limits", limit: sandbox.Threads, amount: 400},
	{name: "take descriptors", guards: "limits", says: "too many open files", amount: 1000},
}
