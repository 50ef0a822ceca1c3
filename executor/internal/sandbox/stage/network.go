package stage

import (
	"encoding/binary"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// loopback is the index of the interface lo: the first one of a network namespace, and here the only one.
const loopback = 1

// tcpBuffers are the least, first and most bytes that a connection holds a way (tcp(7)): it is memory of the kernel's,
// which is not counted where there are no control groups. On lo more makes nothing faster.
const tcpBuffers = "4096 131072 262144"

// raiseNetwork brings lo up and makes every IPv4 address one of its own (AnyIP: a route of type local, see
// ip-route(8)), so that any address can be listened at, and one that nobody listens at refuses.
func raiseNetwork() error {
	for _, name := range []string{"tcp_rmem", "tcp_wmem"} {
		_ = os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(tcpBuffers), 0) // a container may have /proc/sys read-only
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return doing("open a netlink socket", err)
	}
	defer unix.Close(fd)
	up := unix.IfInfomsg{Family: unix.AF_UNSPEC, Index: loopback, Flags: unix.IFF_UP, Change: unix.IFF_UP}
	if err := ask(fd, unix.RTM_NEWLINK, 0, bytesOf(&up)); err != nil {
		return doing("bring lo up", err)
	}
	route := unix.RtMsg{
		Family: unix.AF_INET, Table: unix.RT_TABLE_LOCAL, Protocol: unix.RTPROT_BOOT,
		Scope: unix.RT_SCOPE_HOST, Type: unix.RTN_LOCAL,
	}
	oif := unix.RtAttr{Len: unix.SizeofRtAttr + 4, Type: unix.RTA_OIF}
	body := append(bytesOf(&route), bytesOf(&oif)...)
	body = binary.NativeEndian.AppendUint32(body, loopback)
	return doing("make every address local", ask(fd, unix.RTM_NEWROUTE, unix.NLM_F_CREATE, body))
}

// ask sends a netlink request and waits for its acknowledgement: netlink(7).
func ask(fd int, kind, flags uint16, body []byte) error {
	header := unix.NlMsghdr{
		Len: uint32(unix.SizeofNlMsghdr + len(body)), Type: kind, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK | flags,
	}
	to := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if err := unix.Sendto(fd, append(bytesOf(&header), body...), 0, to); err != nil {
		return err
	}
	b := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, b, 0)
	if err != nil {
		return err
	}
	if n < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(b[4:]) != unix.NLMSG_ERROR {
		return errMalformed
	}
	if errno := int32(binary.NativeEndian.Uint32(b[unix.SizeofNlMsghdr:])); errno != 0 {
		return unix.Errno(-errno)
	}
	return nil
}

// bytesOf is a struct of the kernel's as it lies in memory.
func bytesOf[T any](v *T) []byte {
	return append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))...)
}

// listen opens a listener.
func listen(args []string) (fd int, err error) {
	if len(args) != 2 || len(args[0]) != 4 {
		return -1, errMalformed
	}
	port, err := strconv.Atoi(args[1])
	if err != nil {
		return -1, err
	}
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return -1, err
	}
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte([]byte(args[0])), Port: port}); err == nil {
		err = unix.Listen(fd, unix.SOMAXCONN)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
