/**
 * Binary XML, the form in which Android reads `AndroidManifest.xml`.
 *
 * @see frameworks/base libs/androidfw/include/androidfw/ResourceTypes.h
 */

import { FormatError, type FormatErrorCode } from '../../core/errors.ts';
import { le, struct, u8 } from '../struct.ts';

export const RES_STRING_POOL_TYPE = 0x0001;
export const RES_XML_TYPE = 0x0003;
export const RES_XML_START_NAMESPACE_TYPE = 0x0100;
export const RES_XML_END_NAMESPACE_TYPE = 0x0101;
export const RES_XML_START_ELEMENT_TYPE = 0x0102;
export const RES_XML_END_ELEMENT_TYPE = 0x0103;
export const RES_XML_CDATA_TYPE = 0x0104;
export const RES_XML_RESOURCE_MAP_TYPE = 0x0180;

/** `ResStringPool_header::UTF8_FLAG`; otherwise strings are UTF-16. */
export const STRING_POOL_UTF8 = 1 << 8;

/** A string index that names no string. */
export const NO_STRING = 0xffffffff;

/** `Res_value::dataType`. */
export const TYPE_REFERENCE = 0x01;
export const TYPE_STRING = 0x03;
export const TYPE_INT_DEC = 0x10;
export const TYPE_INT_HEX = 0x11;
export const TYPE_INT_BOOLEAN = 0x12;

export const ResChunkHeader = struct('ResChunk_header', 8, {
  type: le.u16,
  headerSize: le.u16,
  size: le.u32,
});

/** `ResStringPool_header` without its chunk header. */
export const ResStringPoolHeader = struct('ResStringPool_header', 20, {
  stringCount: le.u32,
  styleCount: le.u32,
  flags: le.u32,
  stringsStart: le.u32,
  stylesStart: le.u32,
});

/** `ResXMLTree_node` without its chunk header. */
export const ResXMLTreeNode = struct('ResXMLTree_node', 8, { lineNumber: le.u32, comment: le.u32 });

export const ResXMLTreeNamespaceExt = struct('ResXMLTree_namespaceExt', 8, {
  prefix: le.u32,
  uri: le.u32,
});

export const ResXMLTreeAttrExt = struct('ResXMLTree_attrExt', 20, {
  ns: le.u32,
  name: le.u32,
  attributeStart: le.u16,
  attributeSize: le.u16,
  attributeCount: le.u16,
  idIndex: le.u16,
  classIndex: le.u16,
  styleIndex: le.u16,
});

export const ResXMLTreeEndElementExt = struct('ResXMLTree_endElementExt', 8, {
  ns: le.u32,
  name: le.u32,
});

/** `ResXMLTree_attribute` with its `Res_value`. */
export const ResXMLTreeAttribute = struct('ResXMLTree_attribute', 20, {
  ns: le.u32,
  name: le.u32,
  rawValue: le.u32,
  valueSize: le.u16,
  res0: u8,
  dataType: u8,
  data: le.u32,
});
export const RES_VALUE_SIZE = 8;

export const axmlError = (
  code: FormatErrorCode,
  message: string,
  where: { offset?: number; field?: string; cause?: unknown } = {},
): FormatError => new FormatError('axml', code, `Cannot read binary XML: ${message}`, where);
