// The words of the page, in English and Chinese.

const EN = {
  title: 'sluice', overview: 'Instances', topics: 'Topics', groups: 'Groups', audit: 'Audit', skip: 'To the content',
  find: 'Find by name', loading: 'Loading…', noInstance: 'There is no instance. A folder in instances/ makes one.',
  starting: 'starting', running: 'running', retrying: 'retrying', waiting: 'waiting', standby: 'standby', stopped: 'stopped',
  server: 'server', received: 'received', decoded: 'decoded', durable: 'durable', slowest: 'slowest group', noGroup: 'none reads',
  heard: (ago) => `heard ${ago} ago`, rows: (n) => `${n} rows`, rowsPerSecond: (n) => `${n} rows/s`, behind: (lag) => `${lag} behind`,
  unread: (n) => `${n} unread`, position: 'Position', noPosition: 'none yet',
  horizon: (used, left) => `${used} % of the server's retention is used up; ${left} left`,
  activeElsewhere: (who) => `runs in ${who}`, parkedTables: (n) => `${n} parked ${n === 1 ? 'table' : 'tables'}`,
  silent: 'sluice does not answer. What is shown is how it was last; this page goes on by itself when it is back.',
  phase_starting: 'sluice is starting', phase_draining: 'sluice is stopping',
  login: 'Log in', user: 'User', password: 'Password', logout: 'Log out',
  loginHint: 'Or open the link that this prints on the machine itself:', noUser: 'Users are added by',
  theme: 'Light or dark', language: '中文', since: (time) => `since ${time}`,
  start: 'Start', stop: 'Stop', advice: 'What to do', doIt: 'Do it', tables: 'Tables', table: 'Table', topic: 'Topic',
  lastChange: 'Last change', rowCount: 'Rows', perSecond: 'Rows/s', noTables: 'No change was seen since the process began.',
  parked: 'Parked tables', events: 'Events', size: 'Size', from: 'Since', reason: 'Reason', retry: 'Retry', drop: 'Drop',
  dropAsk: (table) => `Drop what is kept of ${table}? Its changes since then are lost.`,
  retryAsk: (table) => `Publish what is kept of ${table}, and go on with it?`,
  stopAsk: (name) => `Stop ${name}? It stays stopped until somebody starts it.`, file: 'Binlog file', offset: 'Offset', gtid: 'GTID set',
  try: 'Try (dry run)', set: 'Set', reset: 'Reset', resetHint: 'Forget the position: the next start begins where the configuration says.',
  setHint: 'Go on from another place in the binlog.', before: 'Before', after: 'After', wants: 'First',
  againBytes: (n) => `${n} of binlog come again`, skippedBytes: (n) => `${n} of binlog are left out`, isEarlier: 'The file is an earlier one: what is behind the place comes again.',
  isLater: 'The file is a later one: what is before the place is left out.', dropsParked: (n) => `What is kept of parked tables is dropped: ${n}`,
  nothingChanged: 'Nothing was changed.', done: 'Done.', log: 'Log', noLog: 'No lines.', cancel: 'Cancel', ok: 'OK', confirm: 'Sure?',
  lastMinutes: 'The last minutes', chartRows: 'rows/s', chartBehind: 's behind', partitions: 'Partitions', messages: 'Messages',
  internal: 'Internal topics, too', settings: 'Settings', own: 'its own', settingName: 'Setting', value: 'Value', partition: 'Partition', leader: 'Leader',
  begins: 'Begin', newest: 'newest', earliest: 'earliest', fromOffset: 'from offset', fromTime: 'from time', show: 'Show', key: 'Key', time: 'Time', headers: 'Headers',
  noMessages: 'No messages.', cut: 'More are there than are shown.', delete: 'Delete', create: 'Create', createTopic: 'Create a topic', nameWord: 'Name',
  deleteTopicAsk: (name) => `Delete topic ${name} with all its messages?`, deleteGroupAsk: (name) => `Delete group ${name} with its offsets?`,
  state: 'State', members: 'Members', committed: 'Committed', end: 'End', lag: 'Unread', noGroups: 'No group has read anything yet.',
  resetOffsets: 'Move offsets', to: 'To', latest: 'latest', execute: 'Execute', who: 'Who', what: 'What', on: 'On', outcome: 'Outcome', noAudit: 'Nothing was changed yet.',
  viewOnly: 'view only', back: 'Back', back_overview: 'All instances', unknown: (name) => `There is no instance ${name}.`,
}

const ZH = {
  title: 'sluice', overview: '实例', topics: '主题', groups: '消费组', audit: '审计', skip: '跳到内容',
  find: '按名称查找', loading: '加载中…', noInstance: '没有实例。在 instances/ 下新建一个目录即可。',
  starting: '启动中', running: '运行中', retrying: '重试中', waiting: '等待中', standby: '备用', stopped: '已停止',
  server: '数据库', received: '已接收', decoded: '已解析', durable: '已落盘', slowest: '最慢消费组', noGroup: '无人消费',
  heard: (ago) => `${ago}前有响应`, rows: (n) => `${n} 行`, rowsPerSecond: (n) => `${n} 行/秒`, behind: (lag) => `落后 ${lag}`,
  unread: (n) => `${n} 条未读`, position: '位点', noPosition: '尚无',
  horizon: (used, left) => `已用去数据库 binlog 保留期的 ${used} %，还剩 ${left}`,
  activeElsewhere: (who) => `由 ${who} 运行`, parkedTables: (n) => `${n} 张表被搁置`,
  silent: 'sluice 没有响应。下面是最后一次看到的状态；恢复后页面会自动继续。',
  phase_starting: 'sluice 正在启动', phase_draining: 'sluice 正在停止',
  login: '登录', user: '用户', password: '密码', logout: '退出',
  loginHint: '或在本机运行下面的命令，打开它给出的链接：', noUser: '添加用户：',
  theme: '浅色或深色', language: 'English', since: (time) => `自 ${time}`,
  start: '启动', stop: '停止', advice: '怎么办', doIt: '执行', tables: '表', table: '表', topic: '主题',
  lastChange: '最近变更', rowCount: '行数', perSecond: '行/秒', noTables: '进程启动以来还没有变更。',
  parked: '被搁置的表', events: '事件', size: '大小', from: '自', reason: '原因', retry: '重试', drop: '丢弃',
  dropAsk: (table) => `丢弃为 ${table} 保留的变更？此后它的这些变更将丢失。`,
  retryAsk: (table) => `发布为 ${table} 保留的变更并继续？`,
  stopAsk: (name) => `停止 ${name}？在有人启动它之前会一直停止。`, file: 'binlog 文件', offset: '偏移量', gtid: 'GTID 集合',
  try: '试运行', set: '设置', reset: '重置', resetHint: '忘掉位点：下次启动从配置所写的位置开始。',
  setHint: '从 binlog 的另一位置继续。', before: '之前', after: '之后', wants: '先要',
  againBytes: (n) => `${n} 的 binlog 会重新发布`, skippedBytes: (n) => `${n} 的 binlog 会被跳过`, isEarlier: '这是更早的文件：该位置之后的变更会重新发布。',
  isLater: '这是更晚的文件：该位置之前的变更会被跳过。', dropsParked: (n) => `为被搁置的表保留的变更会被丢弃：${n}`,
  nothingChanged: '没有做任何更改。', done: '完成。', log: '日志', noLog: '没有日志。', cancel: '取消', ok: '确定', confirm: '确定吗？',
  lastMinutes: '最近几分钟', chartRows: '行/秒', chartBehind: '落后秒数', partitions: '分区', messages: '消息',
  internal: '包括内部主题', settings: '设置', own: '单独设置', settingName: '设置项', value: '值', partition: '分区', leader: '领导者',
  begins: '开始于', newest: '最新', earliest: '最早', fromOffset: '从偏移量', fromTime: '从时间', show: '显示', key: '键', time: '时间', headers: '消息头',
  noMessages: '没有消息。', cut: '还有更多未显示。', delete: '删除', create: '新建', createTopic: '新建主题', nameWord: '名称',
  deleteTopicAsk: (name) => `删除主题 ${name} 及其全部消息？`, deleteGroupAsk: (name) => `删除消费组 ${name} 及其偏移量？`,
  state: '状态', members: '成员', committed: '已提交', end: '末尾', lag: '未读', noGroups: '还没有消费组读过消息。',
  resetOffsets: '移动偏移量', to: '到', latest: '最新', execute: '执行', who: '谁', what: '做了什么', on: '对象', outcome: '结果', noAudit: '还没有任何更改。',
  viewOnly: '只读', back: '返回', back_overview: '全部实例', unknown: (name) => `没有实例 ${name}。`,
}

let chosen = remembered('language') ?? (navigator.language.startsWith('zh') ? 'zh' : 'en')
document.documentElement.lang = chosen

export function t(key, ...values) {
  const found = (chosen === 'zh' ? ZH : EN)[key] ?? EN[key] ?? key
  return typeof found === 'function' ? found(...values) : found
}

export const language = () => chosen

export function otherLanguage() {
  chosen = chosen === 'zh' ? 'en' : 'zh'
  document.documentElement.lang = chosen
  remember('language', chosen)
}

// Browsers may refuse to keep anything.
export function remembered(key) {
  try {
    return localStorage.getItem(`sluice.${key}`)
  } catch {
    return null
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(`sluice.${key}`, value)
  } catch {}
}
