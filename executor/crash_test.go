package executor_test

const serverName = "airlock-test-server"

func serve() {}
