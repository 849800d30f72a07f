package dev.microbuild.hello;

/** What the example payload serves on vsock port 5678. */
interface IHello {
    /** A greeting. Throws EX_ILLEGAL_ARGUMENT for an empty name. */
    String hello(String name);
}
