package __package__;

/** What the example payload serves on vsock port 5678. */
interface I__Name__ {
    /** A greeting. Throws EX_ILLEGAL_ARGUMENT for an empty name. */
    String hello(String name);
}
