//go:build race

package main

func init() { raced, examineData = true, 0 } // the race detector's own memory is far more
