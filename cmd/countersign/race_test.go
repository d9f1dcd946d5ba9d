//go:build race

package main

func init() { examineData = 0 } // the race detector's own memory is far more
