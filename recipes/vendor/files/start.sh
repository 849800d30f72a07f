#!/bin/sh
echo vendor
