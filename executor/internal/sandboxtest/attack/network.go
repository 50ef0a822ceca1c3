package main

import (
	"bufio"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

var _ = register(map[string]func(target) error{
	"reach a loopback service":              func(t target) error { return hear("tcp", t.TCP) },
	"reach a loopback service by its name":  func(t target) error { return hear("tcp", "localhost:"+portOf(t.TCP)) },
	"reach a loopback service by IPv6":      func(t target) error { return hear("tcp", "[::ffff:127.0.0.1]:"+portOf(t.TCP)) },
	"reach a loopback service by UDP":       askUDP,
	"reach another address of the machine":  func(t target) error { return hear("tcp", t.Other) },
	"reach the simulator's machine":         func(t target) error { return hear("tcp", t.Simulator) },
	"reach a Unix socket":                   func(t target) error { return hear("unix", t.Socket) },
	"reach an abstract socket":              func(t target) error { return hear("unix", "@"+t.Abstract) },
	"make a vsock socket":                   func(target) error { return socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0) },
	"make a raw socket":                     func(target) error { return socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP) },
	"make a packet socket":                  func(target) error { return socket(unix.AF_PACKET, unix.SOCK_RAW, 0) },
	"make a socket of the kernel's events":  func(target) error { return socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT) },
	"make a socket of the kernel's ciphers": func(target) error { return socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0) },
	"see the machine's network":             interfaces,
	"change the network":                    changeNetwork,
	"listen where the broker listens":       func(target) error { return bind([4]byte{198, 18, 0, 1}, 443) },
})

const patience = 5 * time.Second

// hear succeeds where somebody at an address says something.
func hear(network, address string) error {
	c, err := net.DialTimeout(network, address, patience)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err = bufio.NewReader(c).ReadString('\n')
	return err
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

func askUDP(t target) error {
	c, err := net.Dial("udp", t.UDP)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("?")); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

func socket(family, kind, protocol int) error {
	fd, err := unix.Socket(family, kind, protocol)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// interfaces succeeds where there is one besides lo.
func interfaces(target) error {
	all, err := net.Interfaces()
	if err == nil && len(all) < 2 {
		return errNotFound
	}
	return err
}

// changeNetwork makes an interface, and takes it away again.
func changeNetwork(target) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
		return err
	}
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr) // as they are
}

func bind(ip [4]byte, port int) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_FREEBIND, 1)
	return unix.Bind(fd, &unix.SockaddrInet4{Addr: ip, Port: port})
}
