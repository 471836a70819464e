"use strict"
// Names reach the page only as text and attributes; nothing here writes HTML.
const $ = id => document.getElementById(id)
const main = document.querySelector("main"), box = $("box"), stage = $("stage"), canvas = $("canvas")
const served = location.protocol.startsWith("http")
const outside = link => /^(\.\.\/|file:)/.test(link)
const figures = () => [...main.querySelectorAll(main.classList.contains("check") ? "figure[data-doubt]" : "figure")]
const tickOf = figure => figure.querySelector("input")
const groupOf = figure => figure.closest("section").dataset.name
const say = text => { $("told").textContent = text }

for (const image of document.querySelectorAll(".strip img")) {
  image.closest("figure").style.setProperty("--wide", image.getAttribute("width"))
}
for (const heads of document.querySelectorAll("[data-columns]")) {
  heads.style.gridTemplateColumns = heads.dataset.columns.split(" ").map(w => `minmax(0, ${+w}fr)`).join(" ")
}
if (served) for (const link of main.querySelectorAll(".files a")) { // a server shows only its folder
  if (!outside(link.getAttribute("href"))) continue
  link.removeAttribute("href")
  link.title = "outside this page's folder: open index.html as a file to follow it"
}

// --- the list: order, doubts, ticks ---

$("sort")?.addEventListener("click", event => {
  const worst = event.target.getAttribute("aria-pressed") !== "true"
  event.target.setAttribute("aria-pressed", worst)
  const key = worst ? e => +e.dataset.score : e => +e.dataset.place
  const sort = (parent, selector) => parent.append(
    ...[...parent.querySelectorAll(selector)].sort((a, b) => key(a) - key(b)))
  document.querySelectorAll(".images").forEach(images => sort(images, "figure"))
  sort(main, "section")
})

$("check")?.addEventListener("click", event => {
  const on = main.classList.toggle("check")
  event.target.setAttribute("aria-pressed", on)
  count()
})

function count() {
  const all = [...main.querySelectorAll("input")], shown = figures().map(tickOf)
  const chosen = all.filter(tick => tick.checked).length, ticked = shown.filter(tick => tick.checked).length
  $("save").textContent = `Save the chosen (${chosen} of ${all.length})`
  $("all").checked = ticked === shown.length
  $("all").indeterminate = 0 < ticked && ticked < shown.length
}
main.addEventListener("change", count)
$("all").addEventListener("change", event => {
  for (const figure of figures()) tickOf(figure).checked = event.target.checked
  count()
})
addEventListener("pageshow", count) // browsers keep the ticks when the user returns to the page

// --- the chosen results as a zip ---

$("save").addEventListener("click", async event => {
  if (!served) {
    return say("A page opened as a file cannot read its pictures. Run gconet view FOLDER with this page's " +
      "folder, and save there.")
  }
  const all = [...main.querySelectorAll("figure")], chosen = all.filter(figure => tickOf(figure).checked)
  const files = []
  event.target.disabled = true
  try {
    for (const figure of chosen) {
      const link = figure.querySelector(".strip a").getAttribute("href")
      const answer = await fetch(link)
      if (!answer.ok) throw new Error(`${link} cannot be read (${answer.status})`)
      files.push([decode(link), await answer.blob()])
      if (files.length % 20 === 0) say(`${files.length} of ${chosen.length} read`)
    }
    const rejected = all.filter(figure => !tickOf(figure).checked)
    const lines = rejected.map(figure => plain(`${groupOf(figure)}/${figure.dataset.name}`) + "\n")
    files.push(["rejected.txt", new Blob(lines)])
    const link = document.createElement("a")
    link.href = URL.createObjectURL(await zip(files))
    link.download = "chosen.zip"
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 60000)
    say(`chosen.zip: ${chosen.length} chosen; rejected.txt in it lists ${rejected.length}`)
  } catch (error) {
    say(`Nothing was saved: ${error.message}. Is gconet view still running?`)
  } finally {
    event.target.disabled = false
  }
})

const plain = text => text.replace(/\p{Cc}/gu, c => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`)

function decode(link) {
  try { return decodeURIComponent(link) } catch { return link } // a name that is not UTF-8 stays encoded
}

/** [name, Blob] pairs → an uncompressed zip (PKWARE's APPNOTE, 4.3.7, 4.3.12 and 4.3.16). */
async function zip(files) {
  const now = new Date(), head = [], tail = []
  const time = now.getHours() << 11 | now.getMinutes() << 5 | now.getSeconds() >> 1
  const date = now.getFullYear() - 1980 << 9 | now.getMonth() + 1 << 5 | now.getDate()
  let offset = 0, size = 0
  for (const [text, blob] of files) {
    const name = new TextEncoder().encode(text), crc = crc32(new Uint8Array(await blob.arrayBuffer()))
    // version 2.0, names in UTF-8, stored
    const about = [[2, 20], [2, 0x800], [2, 0], [2, time], [2, date], [4, crc], [4, blob.size], [4, blob.size],
      [2, name.length], [2, 0]]
    head.push(pack([4, 0x04034b50], ...about), name, blob)
    tail.push(pack([4, 0x02014b50], [2, 20], ...about, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]), name)
    offset += 30 + name.length + blob.size
    size += 46 + name.length
  }
  if (offset + size > 0xffffffff || files.length > 0xffff) throw new Error("that is too much for one zip; tick fewer")
  const end = pack([4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, offset], [2, 0])
  return new Blob([...head, ...tail, end], { type: "application/zip" })
}

/** [bytes, value] pairs → little-endian bytes. */
function pack(...fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [bytes]) => sum + bytes, 0)))
  let at = 0
  for (const [bytes, value] of fields) {
    if (bytes === 2) view.setUint16(at, value, true)
    else view.setUint32(at, value, true)
    at += bytes
  }
  return view.buffer
}

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? byte >>> 1 ^ 0xedb88320 : byte >>> 1
  return byte
})

function crc32(bytes) {
  let crc = ~0
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 255] ^ crc >>> 8
  return ~crc >>> 0
}

// --- the light-box ---

const threshold = $("threshold"), before = $("before"), over = $("over"), layer = $("layer")
const CUT = ["overlay", "mask", "map"] // layers drawn from the map
let current, zoom = 1, means

main.addEventListener("click", event => {
  const link = event.target.closest(".strip a")
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return // those open the file
  event.preventDefault()
  box.showModal()
  stage.focus()
  show(link.closest("figure"))
})

function show(figure) {
  const list = figures(), place = list.indexOf(figure), { name, large, map } = figure.dataset
  const links = [...figure.querySelectorAll(".files a")]
  current = figure
  zoom = 1
  $("name").textContent = `${groupOf(figure)} / ${name} (${place + 1} of ${list.length})`
  $("why").textContent = [...figure.querySelectorAll("strong")].map(mark =>
    mark.textContent + (mark.title && `: ${mark.title}`)).join(". ")
  before.alt = figure.querySelector("img").alt
  before.src = $("under").src = large
  $("back").disabled = place === 0
  $("on").disabled = place === list.length - 1
  $("tick").checked = tickOf(figure).checked
  $("links").replaceChildren(...links.map(link => link.cloneNode(true)))
  const kept = layer.selectedOptions[0]?.textContent
  const options = map ? CUT.map(what => new Option(what === "mask" ? "map cut at the threshold" : what, what)) : []
  for (const link of links) { // formats that browsers show
    const file = link.getAttribute("href")
    if (file && !["original", "map"].includes(link.textContent) && /\.(png|jpe?g|webp|bmp)$/i.test(file)) {
      options.push(new Option(link.textContent, file))
    }
  }
  layer.replaceChildren(...options)
  const result = figure.querySelector(".strip a").getAttribute("href") // shown first; later, the layer viewed last
  const found = options.findIndex(option => kept ? option.textContent === kept : option.value === result)
  layer.selectedIndex = Math.max(0, found)
  draw()
  fit()
  if (place + 1 < list.length) new Image().src = list[place + 1].dataset.large
}

function draw() {
  const cut = CUT.includes(layer.value), step = (threshold.value - threshold.min) / threshold.step
  $("after").dataset.layer = cut ? layer.value : "file"
  over.src = cut ? current.dataset.map : layer.value
  $("after").hidden = !layer.value
  threshold.disabled = !["overlay", "mask"].includes(layer.value)
  document.querySelectorAll(".cut").forEach(tool => { tool.hidden = !current.dataset.map })
  // 510 v/255 - (2 t - 1), clipped to [0,1]: 1 for levels v >= t and 0 for those below
  for (const func of document.querySelectorAll(".step")) func.setAttribute("intercept", 1 - 2 * threshold.value)
  $("level").textContent = (threshold.value / 256).toFixed(2)
  const own = current.dataset.j?.split(" ")
  means ??= average([...main.querySelectorAll("[data-j]")].map(figure => figure.dataset.j.split(" ")))
  $("j").textContent = own ? `J of the map ${(own[step] / 1000).toFixed(3)}, mean ${means[step].toFixed(3)}` : ""
}
const average = rows => rows[0]?.map((_, i) => rows.reduce((sum, row) => sum + +row[i], 0) / rows.length / 1000)

function fit() {
  const width = before.naturalWidth || 1, height = before.naturalHeight || 1
  const scale = zoom * Math.min(stage.offsetWidth / width, stage.offsetHeight / height)
  canvas.style.width = `${Math.floor(width * scale)}px`
  canvas.style.height = `${Math.floor(height * scale)}px`
  stage.classList.toggle("zoomed", zoom > 1)
  $("zoom").textContent = `${Math.round(100 * zoom)} %`
}
before.addEventListener("load", fit)
addEventListener("resize", () => box.open && fit())

/** Zoom and keep the point at (x, y) in place, by default the middle. */
function zoomTo(factor, x, y) {
  const view = stage.getBoundingClientRect(), old = canvas.getBoundingClientRect()
  x ??= view.x + view.width / 2
  y ??= view.y + view.height / 2
  zoom = Math.min(8, Math.max(1, factor))
  fit()
  const now = canvas.getBoundingClientRect()
  stage.scrollBy(now.x + (x - old.x) / old.width * now.width - x, now.y + (y - old.y) / old.height * now.height - y)
}

function go(step) {
  const list = figures(), next = list[list.indexOf(current) + step]
  if (next) show(next)
}

function divide(share) {
  $("split").value = share
  canvas.style.setProperty("--split", `${$("split").value}%`)
}

function drag(event) {
  if (!(event.buttons & 1)) return
  const old = canvas.getBoundingClientRect()
  if (zoom === 1) divide(100 * (event.clientX - old.x) / old.width)
  else if (event.type === "pointermove" && event.pointerType === "mouse") {
    stage.scrollBy(-event.movementX, -event.movementY)
  }
}

stage.addEventListener("pointerdown", drag)
stage.addEventListener("pointermove", drag)
stage.addEventListener("wheel", event => {
  event.preventDefault()
  zoomTo(zoom * 1.0015 ** -event.deltaY, event.clientX, event.clientY)
}, { passive: false })
box.addEventListener("keydown", event => {
  const act = { ArrowLeft: () => go(-1), ArrowRight: () => go(1), "+": () => zoomTo(1.5 * zoom),
    "=": () => zoomTo(1.5 * zoom), "-": () => zoomTo(zoom / 1.5) }[event.key]
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return
  if (event.key.startsWith("Arrow") && event.target.matches("select, [type=range]")) return // they use these keys
  event.preventDefault()
  act()
})
box.addEventListener("close", () => current.querySelector(".strip a").focus()) // of the last one shown
const tools = { close: () => box.close(), back: () => go(-1), on: () => go(1), in: () => zoomTo(1.5 * zoom),
  out: () => zoomTo(zoom / 1.5) }
for (const [id, act] of Object.entries(tools)) $(id).addEventListener("click", act)
$("split").addEventListener("input", event => divide(event.target.value))
threshold.addEventListener("input", draw)
layer.addEventListener("change", draw)
$("tick").addEventListener("change", event => {
  tickOf(current).checked = event.target.checked
  count()
})
